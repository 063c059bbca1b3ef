package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

type request struct {
	Phase       int             `json:"phase"`
	Key         string          `json:"key"`
	Method      string          `json:"method"`
	Path        string          `json:"path"`
	ContentType string          `json:"contentType"`
	Body        json.RawMessage `json:"body"`
}

// readRequests gives the lines of phase 0, and the other lines by key, the keys in the order of their first lines.
func readRequests(path string) (setup []*request, jobs [][]*request, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	index := map[string]int{}
	for decoder := json.NewDecoder(file); ; {
		r := &request{}
		if err := decoder.Decode(r); err == io.EOF {
			break
		} else if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		if err := r.prepare(); err != nil {
			return nil, nil, fmt.Errorf("%s: %s %s: %w", path, r.Method, r.Path, err)
		}
		if r.Phase == 0 {
			setup = append(setup, r)
			continue
		}
		at, found := index[r.Key]
		if !found {
			at = len(jobs)
			index[r.Key] = at
			jobs = append(jobs, nil)
		}
		jobs[at] = append(jobs[at], r)
	}
	for _, lines := range jobs {
		slices.SortStableFunc(lines, func(a, b *request) int { return a.Phase - b.Phase })
	}
	return setup, jobs, nil
}

// prepare makes the body what is sent, so that nothing is left to do but sending.
func (r *request) prepare() error {
	if r.ContentType == "" {
		r.ContentType = "application/json"
	}
	if len(r.Body) > 0 && r.Body[0] == '"' {
		var text string
		if err := json.Unmarshal(r.Body, &text); err != nil {
			return err
		}
		r.Body = []byte(text)
		return nil
	}
	if len(r.Body) == 0 || string(r.Body) == "null" {
		r.Body = nil
		return nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, r.Body); err != nil {
		return err
	}
	r.Body = compact.Bytes()
	return nil
}
