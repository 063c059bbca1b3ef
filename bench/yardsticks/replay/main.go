// Command replay sends ready-made requests to an API server as fast as it takes them: the raw limit that Bulkhead is
// measured against. The contract is in ../README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	kubeconfig, requests     string
	concurrency, connections int
	timeout                  time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "file; its current context is used")
	flag.StringVar(&o.requests, "requests", "", "file of one JSON object a line")
	flag.IntVar(&o.concurrency, "concurrency", 0, "how many keys are worked on at once")
	flag.IntVar(&o.connections, "connections", 1, "how many HTTP/2 connections they share")
	flag.DurationVar(&o.timeout, "timeout", 10*time.Second, "of one call")
	flag.Parse()
	if o.kubeconfig == "" || o.requests == "" || o.concurrency < 1 || o.connections < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "replay: --kubeconfig, --requests and --concurrency are needed; see bench/yardsticks/README.md")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := replay(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "replay: %v\n", err)
		os.Exit(1)
	}
}

func replay(ctx context.Context, o options) error {
	target, err := readTarget(o.kubeconfig)
	if err != nil {
		return err
	}
	setup, jobs, err := readRequests(o.requests)
	if err != nil {
		return err
	}
	clients, err := target.connect(ctx, o.connections)
	if err != nil {
		return err
	}
	s := &sender{target: target, timeout: o.timeout}
	for _, r := range setup {
		if code, text := s.send(ctx, clients[0], r); code >= 300 && !(code == http.StatusConflict && r.Method == http.MethodPost) {
			return fmt.Errorf("%s %s in phase 0: %s", r.Method, r.Path, text)
		}
	}
	result := s.run(ctx, clients, jobs, o.concurrency)
	if ctx.Err() != nil {
		return errors.New("ended by a signal")
	}
	result.Connections = o.connections
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	return out.Encode(result)
}
