package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Outcomes of a check.
const (
	checkPassed  = "pass"
	checkFailed  = "FAIL"
	checkWarned  = "warn" // the receiver does not follow a recommendation
	checkSkipped = "skip" // the receiver does not support an optional part
)

// checkResult is the result of one check.
type checkResult struct {
	Section string `json:"section"`
	Name    string `json:"name"`
	Result  string `json:"result"`
	Answer  string `json:"answer"`
}

func newConformance() *cobra.Command {
	var output string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "conformance URL",
		Short: "Check whether a CloudEvents receiver conforms to the HTTP protocol binding",
		Long: "Send valid and invalid events to a receiver, which can be any program, and compare its answers with " +
			"the rules of the\n" +
			"CloudEvents HTTP protocol binding and JSON event format. The receiver gets about twenty valid events " +
			"with the source\n" +
			"/streamgate/conformance. The exit code is 1 if it breaks a rule.",
		Example: "  streamgate conformance http://127.0.0.1:8080/events\n" +
			"  streamgate conformance https://receiver.example.com/ --timeout 30s -o json",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			target, err := url.Parse(args[0])
			if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
				return fmt.Errorf("%q is not a valid http or https URL; write one like http://127.0.0.1:8080/events",
					args[0])
			}
			if err := checkChoice("--output", output, formatText, formatJSON); err != nil {
				return err
			}
			return failed(runConformance(c.Context(), c.OutOrStdout(), target.String(), output, timeout))
		},
	}
	c.Flags().StringVarP(&output, "output", "o", formatText, "output `FORMAT`: text or json")
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "`DURATION` to wait for each answer")
	return c
}

// runConformance runs all checks and prints their results. A broken rule is an error.
func runConformance(ctx context.Context, w io.Writer, target, output string, timeout time.Duration) error {
	client := &http.Client{
		Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	counts := map[string]int{}
	var results []checkResult
	for _, check := range conformanceChecks() {
		result, err := check.run(ctx, client, target)
		if err != nil {
			return fmt.Errorf("%s: %w; is the receiver running?", check.name, err)
		}
		counts[result.Result]++
		results = append(results, result)
		if output == formatText {
			_, err := fmt.Fprintf(w, "%-4s  %-18s  %s: %s\n", result.Result, result.Section, result.Name, result.Answer)
			if err != nil {
				return err
			}
		}
	}
	if err := concludeConformance(w, output, results, counts); err != nil {
		return err
	}
	if n := counts[checkFailed]; n > 0 {
		return fmt.Errorf("%s breaks %d of %d rules", target, n, len(results))
	}
	return nil
}

// concludeConformance prints the results as JSON, or their counts below the lines of the checks.
func concludeConformance(w io.Writer, output string, results []checkResult, counts map[string]int) error {
	if output == formatJSON {
		return writeIndented(w, results)
	}
	_, err := fmt.Fprintf(w, "%d passed, %d failed, %d warnings, %d skipped\n",
		counts[checkPassed], counts[checkFailed], counts[checkWarned], counts[checkSkipped])
	return err
}

// run sends the request of the check and judges the answer.
func (c *conformanceCheck) run(ctx context.Context, client *http.Client, target string) (checkResult, error) {
	header, body := c.request()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		return checkResult{}, err
	}
	request.Header = header
	request.Header.Set("User-Agent", userAgent())
	response, err := client.Do(request)
	if err != nil {
		return checkResult{}, err
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be reused
	return checkResult{
		Section: c.section, Name: c.name, Result: c.judge(response.StatusCode), Answer: response.Status,
	}, nil
}

// judge returns the outcome of a check. A status that does not judge the event, such as 503 or 401, is a failure as
// well: it does not tell whether the receiver conforms.
func (c *conformanceCheck) judge(status int) string {
	switch {
	case c.batch && status == http.StatusUnsupportedMediaType:
		return checkSkipped
	case c.accept && status >= 200 && status < 300:
		return checkPassed
	case !c.accept && status >= 400 && status < 500 && status != http.StatusUnauthorized &&
		status != http.StatusForbidden &&
		status != http.StatusNotFound && status != http.StatusTooManyRequests:
		return checkPassed
	case c.should:
		return checkWarned
	default:
		return checkFailed
	}
}
