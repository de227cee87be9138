package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"rgwfs/s3backend"
)

// try is a command to show, run in the mountpoint, and what it must print.
type try struct {
	command string
	why     string
	expect  string // part of the output
}

// tries are what the demo suggests; --once runs every one of them, in order.
func tries() []try {
	return []try{
		{"ls -lR notes", "list directories, which are prefixes of keys", "november.md"},
		{"cat README.txt", "read an object", "This directory is a bucket."},
		{"grep -c north data/readings.csv", "search in one", "500"},
		{"cp data/measurement.bin copy.bin && cmp data/measurement.bin copy.bin && ls copy.bin", "copy 12 MiB, and compare", "copy.bin"},
		{"echo hello > notes/mine.txt && cat notes/mine.txt", "write one", "hello"},
		{"mkdir kept && mv notes/mine.txt kept/ && ls kept", "make a directory, and move it there", "mine.txt"},
		{"rm copy.bin && ls", "remove one", "README.txt"},
		{"df -h .", "see what the bucket holds and may hold", "Mounted on"},
	}
}

func explain(w io.Writer, point string, s *server) {
	fmt.Fprintf(w, "\nThe bucket %q on %s (%s) is mounted at\n\n    %s\n\nTry, in another terminal:\n\n    cd %s\n",
		bucketName, s.kind, s.endpoint, point, point)
	for _, t := range tries() {
		fmt.Fprintf(w, "    %-60s # %s\n", t.command, t.why)
	}
	fmt.Fprintf(w, "\nTo see that it is in the bucket, with any S3 client:\n\n    AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s \\\n        aws --endpoint-url %s s3 ls --recursive s3://%s\n\nPress Ctrl-C to unmount and to remove all of this.\n",
		s.accessKey, string(s.secretKey), s.endpoint, bucketName)
}

// check runs everything that explain suggests, then looks on the server for
// what was written.
func check(ctx context.Context, point string, s *server, stdout io.Writer) error {
	for _, t := range tries() {
		// By a shell of its own, as the user would; it also keeps this process,
		// which serves the objects, from waiting on itself.
		command := exec.CommandContext(ctx, "sh", "-c", t.command)
		command.Dir = point
		output, err := command.CombinedOutput()
		fmt.Fprintf(stdout, "$ %s\n%s", t.command, output)
		if err != nil {
			return fmt.Errorf("%s: %w: %s", t.command, err, output)
		}
		if !strings.Contains(string(output), t.expect) {
			return fmt.Errorf("%s: %q is not in its output", t.command, t.expect)
		}
	}
	client, err := s.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	_, body, err := client.Bucket(bucketName).Get(ctx, s3backend.GetRequest{Key: "kept/mine.txt", Length: -1})
	if err != nil {
		return fmt.Errorf("what was written is not in the bucket: %w", err)
	}
	text, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return err
	}
	if string(text) != "hello\n" {
		return fmt.Errorf("what was written is %q in the bucket", text)
	}
	fmt.Fprintln(stdout, "Everything works, and what was written is in the bucket.")
	return nil
}
