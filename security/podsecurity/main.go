// Podsecurity says what Kubernetes itself thinks of pods: it reads pod templates and prints which checks of Pod Security
// Standard `restricted`, latest version, they break. The checks are those that the API server runs.
//
// Input: one JSON object a line, {"metadata": …, "spec": …}, as in spec.template of a Deployment.
// Output: one JSON object a line, in the same order: {"violations": ["reason: detail", …]}, an empty list for none. A
// template with a field that Kubernetes does not know, or that is no template, has that as its violation.
package main

import (
	"bufio"
	stdjson "encoding/json"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/json"
)

type verdict struct {
	Violations []string `json:"violations"`
}

func main() {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		fail(err)
	}
	out := bufio.NewWriter(os.Stdout)
	encoder := stdjson.NewEncoder(out)
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 1 {
			if err := encoder.Encode(judge(evaluator, line)); err != nil {
				fail(err)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			fail(err)
		}
	}
	if err := out.Flush(); err != nil {
		fail(err)
	}
}

func judge(evaluator policy.Evaluator, line []byte) verdict {
	var template corev1.PodTemplateSpec
	// A misspelt field would be dropped, and what it says with it: a securityContext that nobody sees.
	strays, err := json.UnmarshalStrict(line, &template)
	if err != nil {
		return verdict{[]string{fmt.Sprintf("no pod template: %v", err)}}
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	found := verdict{[]string{}}
	for _, stray := range strays {
		found.Violations = append(found.Violations, fmt.Sprintf("no pod template: %v", stray))
	}
	for _, result := range evaluator.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec) {
		if !result.Allowed {
			found.Violations = append(found.Violations, result.ForbiddenReason+": "+result.ForbiddenDetail)
		}
	}
	return found
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
