import sys

import pandas

from greeting import greet

total = pandas.read_csv(sys.stdin, header=None).to_numpy().sum()
print(greet(sys.argv[1], total))
