package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// counter counts clicks by country, in total and in tumbling windows. A window that closes is one JSON line on out.
type counter struct {
	mu         sync.Mutex
	out        io.Writer
	started    time.Time
	length     time.Duration
	total      uint64
	byCountry  map[string]uint64
	current    window
	lastClosed uint64 // events in the window that closed last
}

type window struct {
	Index     int64             `json:"window"`
	Events    uint64            `json:"events"`
	MeanMs    float64           `json:"meanMs"`
	ByCountry map[string]uint64 `json:"byCountry"`
	Carts     uint64            `json:"carts"`
	sumMs     uint64
}

func newCounter(length time.Duration, out io.Writer) *counter {
	return &counter{out: out, started: time.Now(), length: length, byCountry: map[string]uint64{}, current: newWindow(0)}
}

func newWindow(index int64) window {
	return window{Index: index, ByCountry: map[string]uint64{}}
}

func (c *counter) add(batch []click) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, event := range batch {
		if index := int64(event.at / c.length); index != c.current.Index {
			c.closeWindow(index)
		}
		c.total++
		c.byCountry[event.country]++
		c.current.Events++
		c.current.sumMs += uint64(event.ms)
		c.current.ByCountry[event.country]++
		if event.page == "/cart" {
			c.current.Carts++
		}
	}
}

func (c *counter) closeWindow(next int64) {
	c.lastClosed = c.current.Events
	if c.current.Events > 0 {
		c.current.MeanMs = float64(c.current.sumMs) / float64(c.current.Events)
	}
	line, err := json.Marshal(c.current)
	if err != nil {
		panic(err) // plain numbers and strings: cannot happen
	}
	fmt.Fprintf(c.out, "%s\n", line)
	c.current = newWindow(next)
}

func (c *counter) ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total > 0
}

// writeMetrics writes the Prometheus text format.
func (c *counter) writeMetrics(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	metric := func(name, kind, help string) { fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind) }
	metric("worker_events_processed_total", "counter", "Events processed since the start.")
	fmt.Fprintf(w, "worker_events_processed_total %d\n", c.total)
	metric("worker_country_events_total", "counter", "Events processed since the start, by country.")
	for _, country := range countries {
		fmt.Fprintf(w, "worker_country_events_total{country=%q} %d\n", country, c.byCountry[country])
	}
	metric("worker_window_last_total", "gauge", "Events in the window that closed last.")
	fmt.Fprintf(w, "worker_window_last_total %d\n", c.lastClosed)
	metric("worker_uptime_seconds", "gauge", "Time since the start.")
	fmt.Fprintf(w, "worker_uptime_seconds %.3f\n", time.Since(c.started).Seconds())
}

// handler: /healthz says the process answers, /readyz that events flow.
func handler(c *counter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !c.ready() {
			http.Error(w, "no event processed yet", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		c.writeMetrics(w)
	})
	return mux
}
