def greet(name, total):
    return f"Hello, {name}: {total}"
