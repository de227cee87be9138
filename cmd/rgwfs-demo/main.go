// Command rgwfs-demo shows rgwfs to somebody who has no S3 server at hand: it
// starts one on loopback with sample data, mounts it by the rgwfs program
// beside it, says what to try, and takes everything away on Ctrl-C.
//
// It is a program of its own so that rgwfs itself does not link an S3 server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/pflag"
)

const usage = `usage: rgwfs-demo [--rgw] [--once]

Starts an S3 server with sample data on loopback, mounts it by rgwfs, says what
to try, and takes everything away on Ctrl-C. The rgwfs program is $RGWFS, else
the one beside this program, else bin/rgwfs.

`

// options are what the command line asks for.
type options struct {
	rgw  bool // a real Ceph RADOS Gateway
	once bool // check and end
}

func init() {
	// rgwfs is to end with this program, which the kernel watches by the
	// thread that started it (PR_SET_PDEATHSIG, prctl(2)): main's is the one
	// that lasts.
	runtime.LockOSThread()
}

func main() {
	os.Exit(report(run(os.Args[1:], os.Stdout, os.Stderr)))
}

func report(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "rgwfs-demo:", err)
		return 2
	default:
		fmt.Fprintln(os.Stderr, "rgwfs-demo:", err)
		return 1
	}
}

var errUsage = errors.New("see rgwfs-demo --help")

func run(args []string, stdout, stderr io.Writer) error {
	var opts options
	flags := pflag.NewFlagSet("rgwfs-demo", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.BoolVar(&opts.rgw, "rgw", os.Getenv("RGW") == "1", "on a real one-node Ceph RADOS Gateway, by scripts/rgw-up.sh (also RGW=1)")
	flags.BoolVar(&opts.once, "once", false, "run what there is to try, and end")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			_, err = fmt.Fprint(stdout, usage+flags.FlagUsages())
			return err
		}
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("no arguments, please, such as %q: %w", flags.Arg(0), errUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return demo(ctx, opts, stdout, stderr)
}

// demo does it all. What it made is taken away again before it returns, in the
// reverse order.
func demo(ctx context.Context, opts options, stdout, stderr io.Writer) (err error) {
	program, err := findRgwfs()
	if err != nil {
		return err
	}
	if err := checkFuse(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rgwfs-demo-")
	if err != nil {
		return err
	}
	// os.Remove, not RemoveAll: should the mount still be there, nothing in it
	// must be deleted. Each step below removes what it put here.
	defer func() { err = errors.Join(err, os.Remove(dir)) }()

	server, err := startServer(ctx, opts, dir, stdout, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if err := server.fill(ctx); err != nil {
		return err
	}
	mount, err := startMount(ctx, program, dir, server)
	if err != nil {
		return err
	}
	defer func() {
		if !opts.once {
			fmt.Fprintln(stdout, "\nUnmounting and removing what the demo made.")
		}
		err = errors.Join(err, mount.stop())
	}()

	if opts.once {
		return check(ctx, mount.point, server, stdout)
	}
	explain(stdout, mount.point, server)
	select {
	case <-ctx.Done():
		return nil
	case <-mount.ended:
		return fmt.Errorf("rgwfs has ended: %w", mount.result())
	case <-server.ended:
		return errors.New("the S3 server has ended")
	}
}
