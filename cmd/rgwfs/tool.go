package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/pflag"

	"rgwfs/s3backend"
)

// toolSpec is a command that asks a server for something and ends.
type toolSpec struct {
	name, synopsis, summary string
	// about is what help says between the synopsis and the flags.
	about string
	// operands are how many arguments it takes; most < 0: any number.
	least, most int
	// setup adds the command's own flags and returns what runs it.
	setup func(t *tool) func(ctx context.Context, operands []string) error
}

// toolSpecs lists them in the order that help shows them.
func toolSpecs() []toolSpec {
	return []toolSpec{lsSpec(), treeSpec(), duSpec(), infoSpec(), cpSpec(), rmSpec(), urlSpec(), aclSpec(), bucketSpec(), versionsSpec(), restoreSpec(), encryptionSpec(), rekeySpec(), policySpec(), doctorSpec()}
}

func toolNamed(name string) (toolSpec, bool) {
	for _, s := range toolSpecs() {
		if s.name == name {
			return s, true
		}
	}
	return toolSpec{}, false
}

// tool is one run of such a command.
type tool struct {
	inv     *invocation
	spec    toolSpec
	flags   *pflag.FlagSet // its own
	server  *pflag.FlagSet
	backend s3backend.Config
	json    bool
	client  *s3backend.Client // nil until connect
	printMu sync.Mutex        // one line at a time
}

func newTool(inv *invocation, spec toolSpec) (*tool, func(context.Context, []string) error) {
	set := func() *pflag.FlagSet {
		f := pflag.NewFlagSet(spec.name, pflag.ContinueOnError)
		f.SortFlags, f.Usage = false, func() {}
		return f
	}
	t := &tool{inv: inv, spec: spec, flags: set(), server: set(), backend: s3backend.DefaultConfig()}
	t.backend.Version = version
	run := spec.setup(t)
	t.flags.BoolVar(&t.json, "json", false, "print JSON: one document a line")
	serverFlags(t.server, &t.backend)
	return t, run
}

// start runs the command with its arguments.
func (spec toolSpec) start(ctx context.Context, inv *invocation, args []string) error {
	t, run := newTool(inv, spec)
	all := pflag.NewFlagSet(spec.name, pflag.ContinueOnError)
	all.SortFlags, all.Usage = false, func() {}
	all.AddFlagSet(t.flags)
	all.AddFlagSet(t.server)
	if err := all.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return spec.help(inv.stdout)
		}
		return flagError(all, err)
	}
	given := map[string]bool{}
	all.Visit(func(flag *pflag.Flag) { given[flag.Name] = true })
	// Not for the command's own flags: RGWFS_RECURSIVE in the environment
	// would change what every rm does.
	if err := applyEnvironment(inv, t.server, given); err != nil {
		return err
	}
	operands := all.Args()
	if len(operands) < spec.least || spec.most >= 0 && len(operands) > spec.most {
		return usageError(spec.name, "%d arguments: usage: %s", len(operands), spec.synopsis)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer func() {
		if t.client != nil {
			t.client.Close()
		}
	}()
	return run(ctx, operands)
}

func (spec toolSpec) help(w io.Writer) error {
	t, _ := newTool(&invocation{}, spec)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nusage: %s\n\n", spec.name, spec.summary, spec.synopsis)
	if spec.about != "" {
		fmt.Fprintf(&b, "%s\n\n", spec.about)
	}
	fmt.Fprintf(&b, "Flags:\n%s\nServer (also by RGWFS_ variables, such as %s):\n%s\n%s\n",
		t.flags.FlagUsagesWrapped(helpWidth), variable("endpoint"), t.server.FlagUsagesWrapped(helpWidth), pathForms)
	_, err := io.WriteString(w, b.String())
	return err
}

// connect makes the client, once all that tells the endpoint is known.
func (t *tool) connect(ctx context.Context) error {
	if t.client != nil {
		return nil
	}
	endpoint, _, err := s3backend.ResolveEndpoint(ctx, t.backend.Endpoint, t.backend.Profile)
	if err != nil {
		return fail("the endpoint can't be found out: %v", err)
	}
	t.backend.Endpoint = endpoint
	if err := t.backend.Validate(); err != nil {
		return &failure{exitUsage, err}
	}
	t.client, err = s3backend.New(ctx, t.backend)
	if err != nil {
		return explainClient(err)
	}
	return nil
}

// explain turns an error of a request into one line with the mend. what is
// what was looked for or changed.
func (t *tool) explain(what location, err error) error {
	var answer *s3backend.Error
	s := &settings{backend: t.backend, source: source{bucket: what.bucket}}
	if !errors.As(err, &answer) || answer.Status == 0 {
		if errors.Is(err, context.Canceled) {
			return fail("interrupted")
		}
		return explain(s, err)
	}
	switch answer.Code {
	case codeUnknownKey, codeBadSignature, codeClock, codeExpiredToken, codeInvalidToken, codeNoSuchBucket, codeRedirect, codeRegion:
		return explain(s, err)
	}
	switch answer.Kind {
	case s3backend.KindNotExist:
		if what.key == "" { // a HEAD has no code
			return fail("no bucket %s on %s: check its name, or make it first%s", what.bucket, t.backend.Endpoint, requestNote(answer))
		}
		return fail("%s: there is none%s", what, requestNote(answer))
	case s3backend.KindPermission:
		// Those of encryption and policies say more than the server did.
		if strings.Contains(answer.Message, "--sse-c-key-file") || strings.Contains(answer.Message, "policy") {
			return fail("%s: %s%s", what, answer.Message, requestNote(answer))
		}
		return fail("%s: these credentials may not do that (%s): its owner can grant it%s", what, answer.Op, requestNote(answer))
	}
	return fail("%s: %v", what, err)
}

// emit prints a value as one line of JSON.
func (t *tool) emit(v any) error {
	t.printMu.Lock()
	defer t.printMu.Unlock()
	e := json.NewEncoder(t.inv.stdout)
	e.SetEscapeHTML(false) // URLs have &
	return e.Encode(v)
}

func (t *tool) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(t.inv.stdout, format, args...)
	return err
}

// warn tells what does not stop the command.
func (t *tool) warn(format string, args ...any) {
	fmt.Fprintf(t.inv.stderr, "%s: %s\n", t.inv.name, oneLine(fmt.Sprintf(format, args...)))
}
