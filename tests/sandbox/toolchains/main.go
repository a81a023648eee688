// A server on the loopback, a client of it, and as many goroutines as make the answer.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go http.Serve(listener, http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(answer, "talked")
	}))
	answer, err := http.Get("http://" + listener.Addr().String())
	check(err)
	said, err := io.ReadAll(answer.Body)
	check(err)
	check(exec.Command("/bin/true").Run())
	sum := make(chan int, 42)
	var group sync.WaitGroup
	for n := 0; n < 42; n++ {
		group.Add(1)
		go func() {
			defer group.Done()
			sum <- 1
		}()
	}
	group.Wait()
	fmt.Println(string(said), len(sum))
}
