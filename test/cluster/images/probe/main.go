// Probe looks at the network from inside a pod, for tests. It prints what it found and exits 0, or says why not and
// exits 1, within 5 seconds.
//
//	probe dns NAME        the addresses of a name
//	probe tcp HOST:PORT   whether a connection can be opened
//	probe get URL         the body of an HTTP answer
//	probe listen PORT     answers HTTP with "ok" until it is ended
//	probe sleep           does nothing until it is ended
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const timeout = 5 * time.Second

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: probe dns NAME | tcp HOST:PORT | get URL | listen PORT | sleep"))
	}
	argument := strings.Join(os.Args[2:], " ")
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var found string
	var err error
	switch os.Args[1] {
	case "dns":
		var addresses []string
		addresses, err = net.DefaultResolver.LookupHost(ctx, argument)
		found = strings.Join(addresses, " ")
	case "tcp":
		var connection net.Conn
		if connection, err = (&net.Dialer{}).DialContext(ctx, "tcp", argument); err == nil {
			found = connection.RemoteAddr().String()
		}
	case "get":
		found, err = get(ctx, argument)
	case "listen":
		go waitForEnd()
		ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
		err = http.ListenAndServe(":"+argument, ok)
	case "sleep":
		waitForEnd()
	default:
		err = fmt.Errorf("unknown: %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
	fmt.Println(found)
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode >= 400 {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

func waitForEnd() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	os.Exit(0)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
