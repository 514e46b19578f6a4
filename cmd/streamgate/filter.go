package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/gateway/cesql"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func newFilter() *cobra.Command {
	c := &cobra.Command{
		Use: "filter", Short: "Evaluate filters on events",
		Example: "  streamgate filter test \"type LIKE 'com.example.%'\" --event event.json",
	}
	c.AddCommand(newFilterTest())
	return c
}

func newFilterTest() *cobra.Command {
	var file, output string
	c := &cobra.Command{
		Use:   "test EXPRESSION --event FILE",
		Short: "Show how a CESQL expression is evaluated on an event",
		Long: "Evaluate an expression in the CloudEvents SQL Expression Language on an event in the JSON format, and " +
			"show the value\n" +
			"of each part. The first line tells whether the event passes a filter with this expression.",
		Example: "  streamgate filter test \"type LIKE 'com.example.%'\" --event event.json\n" +
			"  streamgate tail events --no-follow -o json | head -1 | streamgate filter test \"type LIKE " +
			"'com.example.%'\" --event -",
		DisableFlagParsing: true, // an expression may begin with a minus sign; see splitExpression
		RunE: func(c *cobra.Command, args []string) error {
			args, err := splitExpression(c, args)
			if err != nil || len(args) == 0 {
				return err
			}
			if err := checkChoice("--output", output, formatText, formatJSON); err != nil {
				return err
			}
			expression, err := cesql.Compile(args[0])
			if err != nil {
				return fmt.Errorf("parse the expression: %w", err)
			}
			event, err := readEvent(c.InOrStdin(), file)
			if err != nil {
				return err
			}
			return failed(explainFilter(c.OutOrStdout(), expression, event, output))
		},
	}
	c.Flags().StringVar(&file, "event", "", "`FILE` with an event in the JSON format; - for stdin")
	c.Flags().StringVarP(&output, "output", "o", formatText, "output `FORMAT`: text or json")
	return c
}

// splitExpression parses the flags of a command whose only argument is an expression, which may look like a flag: -n =
// 1. What is not one of the command's own flags, or the value of one, is the expression. Without arguments it has
// printed the help.
func splitExpression(c *cobra.Command, args []string) (expressions []string, err error) {
	var flags []string
	for i := 0; i < len(args); i++ {
		name, _, hasValue := strings.Cut(args[i], "=")
		flag := c.Flags().Lookup(strings.TrimPrefix(name, "--"))
		if flag == nil || !strings.HasPrefix(name, "--") {
			flag = nil
			if len(name) == 2 && name[0] == '-' {
				flag = c.Flags().ShorthandLookup(name[1:])
			}
		}
		switch {
		case args[i] == "--":
			expressions = append(expressions, args[i+1:]...)
			i = len(args)
		case args[i] == "-h" || args[i] == "--help":
			return nil, failed(c.Help())
		case flag == nil:
			expressions = append(expressions, args[i])
		case hasValue || i+1 == len(args):
			flags = append(flags, args[i])
		default:
			flags = append(flags, args[i], args[i+1])
			i++
		}
	}
	if err := c.Flags().Parse(flags); err != nil {
		return nil, c.FlagErrorFunc()(c, err)
	}
	if len(expressions) != 1 {
		return nil, fmt.Errorf("%s accepts 1 arg(s), an expression, received %d; put the expression in quotes",
			c.CommandPath(), len(expressions))
	}
	return expressions, nil
}

// readEvent reads the event that --event names.
func readEvent(stdin io.Reader, file string) (*rawevent.Event, error) {
	var text []byte
	var err error
	switch file {
	case "":
		return nil, errors.New("--event is missing; name a file with an event in the JSON format, or - for stdin")
	case "-":
		text, err = io.ReadAll(io.LimitReader(stdin, maxLine))
	default:
		text, err = os.ReadFile(file) //nolint:gosec // the user names it
	}
	if err != nil {
		return nil, failed(err)
	}
	event, err := rawevent.FromJSON(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a CloudEvent in the JSON format: %w", file, err)
	}
	return &event, nil
}

// shownStep is a step of the evaluation as it is printed.
type shownStep struct {
	Expression string      `json:"expression"`
	Skipped    bool        `json:"skipped,omitempty"`
	Value      string      `json:"value,omitempty"`
	Error      string      `json:"error,omitempty"`
	Steps      []shownStep `json:"steps,omitempty"`
}

func showStep(s *cesql.Step) shownStep {
	shown := shownStep{Expression: s.Expression, Skipped: s.Skipped}
	if !s.Skipped {
		shown.Value = s.Value.String()
	}
	if s.Err != nil {
		shown.Error = s.Err.Error()
	}
	for i := range s.Steps {
		shown.Steps = append(shown.Steps, showStep(&s.Steps[i]))
	}
	return shown
}

// explainFilter prints the evaluation of an expression, and whether a configuration would accept it as a filter.
func explainFilter(w io.Writer, expression *cesql.Expr, event *rawevent.Event, output string) error {
	step := expression.Explain(event)
	passes := step.Err == nil && step.Value.IsTrue()
	root := showStep(&step)
	never := expression.CheckFilter()
	if output == formatJSON {
		answer := struct {
			Passes   bool      `json:"passes"`
			Refused  string    `json:"refused,omitempty"` // why the expression cannot be used as a filter
			Warnings []string  `json:"warnings,omitempty"`
			Result   shownStep `json:"result"`
		}{Passes: passes, Result: root}
		if never != nil {
			answer.Refused = never.Error()
		}
		for _, warning := range expression.Warnings() {
			answer.Warnings = append(answer.Warnings, warning.Message)
		}
		return writeIndented(w, answer)
	}
	text := "the event does not pass\n"
	if passes {
		text = "the event passes\n"
	}
	if never != nil {
		text += "this expression is rejected as a filter: " + never.Error() + "\n"
	}
	for _, warning := range expression.Warnings() {
		text += "warning: " + warning.Message + "\n"
	}
	_, err := io.WriteString(w, text+root.text(0))
	return err
}

// text returns the step and, indented below it, the steps that it depends on.
func (s *shownStep) text(depth int) string {
	line := strings.Repeat("  ", depth+1) + s.Expression
	switch {
	case s.Skipped:
		line += "   not evaluated"
	case s.Error != "":
		line += "   " + s.Value + ", error: " + s.Error
	default:
		line += "   " + s.Value
	}
	line += "\n"
	for i := range s.Steps {
		line += s.Steps[i].text(depth + 1)
	}
	return line
}
