package main

import (
	"context"
	"math/rand/v2"
	"time"
)

var (
	countries = []string{"DE", "US", "JP", "BR", "IN", "FR", "KE", "AU"}
	pages     = []string{"/", "/search", "/item", "/cart", "/checkout"}
)

// click is one event. Its time is its place in the stream, not the moment it was read, so that a worker that starts
// again or falls behind counts the same windows.
type click struct {
	at      time.Duration // since the start of the stream
	country string
	page    string
	ms      int // how long the page took
}

// stream is endless and depends on nothing but its seed and rate.
type stream struct {
	random     *rand.Rand
	ratePerSec float64
	read       uint64
}

func newStream(seed uint64, ratePerSec float64) *stream {
	return &stream{random: rand.New(rand.NewPCG(seed, 0)), ratePerSec: ratePerSec}
}

func (s *stream) next() click {
	at := time.Duration(float64(s.read) / s.ratePerSec * float64(time.Second))
	s.read++
	// The product of two draws favours the first countries, as real traffic would.
	country := countries[int(s.random.Float64()*s.random.Float64()*float64(len(countries)))]
	return click{at: at, country: country, page: pages[s.random.IntN(len(pages))], ms: 5 + int(s.random.ExpFloat64()*40)}
}

const (
	batchEvery = 20 * time.Millisecond
	// A worker that was held up catches up this much in one go, then lets others run.
	maxBatch = 50_000
)

// process reads the stream at its rate until ctx ends.
func process(ctx context.Context, s *stream, c *counter) {
	started := time.Now()
	ticker := time.NewTicker(batchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			due := uint64(time.Since(started).Seconds() * s.ratePerSec)
			batch := make([]click, min(due-s.read, maxBatch))
			for i := range batch {
				batch[i] = s.next()
			}
			c.add(batch)
		}
	}
}
