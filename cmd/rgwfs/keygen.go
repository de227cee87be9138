package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"

	"rgwfs/s3backend"
)

const keygenSynopsis = "rgwfs keygen FILE"

// keygenCommand makes a key for SSE-C.
func keygenCommand(_ context.Context, inv *invocation, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usageError("keygen", "one FILE to make: usage: %s", keygenSynopsis)
	}
	if args[0][0] == '-' {
		return usageError("keygen", "no flag %s: usage: %s", args[0], keygenSynopsis)
	}
	err := s3backend.GenerateKeyFile(args[0])
	if errors.Is(err, iofs.ErrExist) {
		return fail("%s exists, and may be the only key to somebody's data: it is not overwritten; choose another name", args[0])
	}
	if err != nil {
		return fail("%v", err)
	}
	_, err = fmt.Fprintf(inv.stdout, `%[1]s holds a new key of 32 random bytes, readable for you alone.
Use it by --sse-c-key-file %[1]s, over https only.
The server does not keep it. What is encrypted with it can be read by nobody, the server's
administrators included, once it is lost: keep a copy in another safe place now.
`, args[0])
	return err
}
