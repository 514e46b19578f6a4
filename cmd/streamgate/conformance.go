package main

import (
	"context"
	"encoding/json"
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
	checkWarned  = "warn" // it does not do what is recommended
	checkSkipped = "skip" // it does without this part, as it may
)

// checkResult is how a receiver has answered.
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
		Short: "Check whether a receiver of CloudEvents keeps to the HTTP binding",
		Long: "Send valid and invalid events to a receiver, of this gateway or any other program, and compare its answers with what\n" +
			"the CloudEvents HTTP protocol binding and JSON event format say. It is given some twenty events of the source\n" +
			"/streamgate/conformance. The exit code is 1 where it breaks a rule.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			target, err := url.Parse(args[0])
			if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
				return fmt.Errorf("%q is no http or https address; write one like http://127.0.0.1:8080/events", args[0])
			}
			if output != "text" && output != "json" {
				return fmt.Errorf("--output %q is no format; write text or json", output)
			}
			return failed(runConformance(c.Context(), c.OutOrStdout(), target.String(), output, timeout))
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long one answer may take")
	return c
}

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
			return fmt.Errorf("%s: %w; is a receiver there?", check.name, err)
		}
		counts[result.Result]++
		results = append(results, result)
		if output == "text" {
			if _, err := fmt.Fprintf(w, "%-4s  %-18s  %s: %s\n", result.Result, result.Section, result.Name, result.Answer); err != nil {
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

func concludeConformance(w io.Writer, output string, results []checkResult, counts map[string]int) error {
	if output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(results)
	}
	_, err := fmt.Fprintf(w, "%d passed, %d failed, %d warnings, %d skipped\n",
		counts[checkPassed], counts[checkFailed], counts[checkWarned], counts[checkSkipped])
	return err
}

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
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // to use the connection again
	return checkResult{Section: c.section, Name: c.name, Result: c.judge(response.StatusCode), Answer: response.Status}, nil
}

// judge says what an answer means. What is not the receiver's opinion of the event, as 503 or 401, is a failure, too: the
// check could not be made.
func (c *conformanceCheck) judge(status int) string {
	switch {
	case c.batch && status == http.StatusUnsupportedMediaType:
		return checkSkipped
	case c.accept && status >= 200 && status < 300:
		return checkPassed
	case !c.accept && status >= 400 && status < 500 && status != http.StatusUnauthorized && status != http.StatusForbidden &&
		status != http.StatusNotFound && status != http.StatusTooManyRequests:
		return checkPassed
	case c.should:
		return checkWarned
	default:
		return checkFailed
	}
}
