package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	defaultRetryAfter = time.Second
	shownBytes        = 300
	// broken stands for a call without an answer.
	broken = 599
)

type result struct {
	Writes        int            `json:"writes"`
	Seconds       float64        `json:"seconds"`
	FirstAtUnixMs float64        `json:"firstAtUnixMs"`
	LastAtUnixMs  float64        `json:"lastAtUnixMs"`
	Errors        map[string]int `json:"errors"`
	CPUSeconds    float64        `json:"cpuSeconds"`
	Concurrency   int            `json:"concurrency"`
	Connections   int            `json:"connections"`
	Latency       latency        `json:"latencyMs"`
	FirstError    *string        `json:"firstError"`
}

type latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

type sender struct {
	target  *target
	timeout time.Duration
}

// tally is what one worker counts, so that workers share nothing while the clock runs.
type tally struct {
	writes     int
	errors     map[string]int
	firstError string
	latencies  []time.Duration
}

func (s *sender) run(ctx context.Context, clients []*http.Client, jobs [][]*request, concurrency int) *result {
	tallies := make([]tally, min(concurrency, len(jobs)))
	var next atomic.Int64
	var workers sync.WaitGroup
	cpu, began := cpuSeconds(), time.Now()
	for i := range tallies {
		workers.Go(func() {
			t, client := &tallies[i], clients[i%len(clients)]
			t.errors = map[string]int{}
			for at := next.Add(1) - 1; at < int64(len(jobs)) && ctx.Err() == nil; at = next.Add(1) - 1 {
				for _, r := range jobs[at] {
					t.send(ctx, s, client, r)
				}
			}
		})
	}
	workers.Wait()
	ended := time.Now()
	sum := &result{
		Seconds:       ended.Sub(began).Seconds(),
		FirstAtUnixMs: unixMs(began),
		LastAtUnixMs:  unixMs(ended),
		Errors:        map[string]int{},
		CPUSeconds:    cpuSeconds() - cpu,
		Concurrency:   concurrency,
	}
	sum.add(tallies)
	return sum
}

func (sum *result) add(tallies []tally) {
	var all []time.Duration
	for _, t := range tallies {
		sum.Writes += t.writes
		all = append(all, t.latencies...)
		for code := range maps.Keys(t.errors) {
			sum.Errors[code] += t.errors[code]
		}
		if sum.FirstError == nil && t.firstError != "" {
			sum.FirstError = &t.firstError
		}
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	at := func(share float64) float64 {
		rank := int(math.Ceil(share*float64(len(all)))) - 1
		return float64(all[rank].Microseconds()) / 1000
	}
	sum.Latency = latency{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func (t *tally) send(ctx context.Context, s *sender, client *http.Client, r *request) {
	began := time.Now()
	code, text, retryAfter := s.call(ctx, client, r)
	for code == http.StatusTooManyRequests && ctx.Err() == nil {
		t.errors["429"]++
		time.Sleep(retryAfter)
		code, text, retryAfter = s.call(ctx, client, r)
	}
	t.latencies = append(t.latencies, time.Since(began))
	switch {
	case code < 300:
		t.writes++
		return
	case code == broken:
		t.errors["broken"]++
	default:
		t.errors[strconv.Itoa(code)]++
	}
	if t.firstError == "" {
		t.firstError = fmt.Sprintf("%s %s: %s", r.Method, r.Path, text)
	}
}

// send is one call that is repeated after a 429.
func (s *sender) send(ctx context.Context, client *http.Client, r *request) (code int, text string) {
	code, text, retryAfter := s.call(ctx, client, r)
	for code == http.StatusTooManyRequests && ctx.Err() == nil {
		time.Sleep(retryAfter)
		code, text, retryAfter = s.call(ctx, client, r)
	}
	return code, text
}

// call gives the answer's code, what it says if that is an error, and how long to wait after a 429.
func (s *sender) call(ctx context.Context, client *http.Client, r *request) (int, string, time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	call, err := http.NewRequestWithContext(ctx, r.Method, s.target.server+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return broken, err.Error(), 0
	}
	call.Header = http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {r.ContentType},
		"User-Agent":   {"replay"},
	}
	if s.target.token != "" {
		call.Header["Authorization"] = []string{"Bearer " + s.target.token}
	}
	response, err := client.Do(call)
	if err != nil {
		return broken, err.Error(), 0
	}
	defer response.Body.Close()
	if response.StatusCode < 300 {
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return broken, err.Error(), 0
		}
		return response.StatusCode, "", 0
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return broken, err.Error(), 0
	}
	retryAfter := defaultRetryAfter
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		retryAfter = time.Duration(seconds) * time.Second
	}
	return response.StatusCode, fmt.Sprintf("%d %s", response.StatusCode, text[:min(len(text), shownBytes)]), retryAfter
}

func unixMs(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }

// cpuSeconds is what this process has used so far, user and system.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return math.NaN()
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}
