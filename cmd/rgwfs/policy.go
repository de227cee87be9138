package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"rgwfs/s3backend"
)

func policySpec() toolSpec {
	return toolSpec{
		name: "policy", synopsis: "rgwfs policy require-encryption [-n] [--force] BUCKET", summary: "have a bucket refuse what is not encrypted",
		about: `Finds out, by objects of a scratch prefix in BUCKET, which policy makes this server refuse plain
writes and take those with an SSE-C key, prints it, and sets it. Other statements of the bucket's
policy stay. Where the server's release can't do both, it says what would not work and sets nothing
without --force. Only the bucket's owner may.
` + "`rgwfs bucket policy BUCKET none`" + ` removes all of a policy.`,
		least: 2, most: 2,
		setup: func(t *tool) func(context.Context, []string) error {
			dry := t.flags.BoolP("dry-run", "n", false, "only print the policy")
			force := t.flags.Bool("force", false, "set it although not all of it works on this release")
			return func(ctx context.Context, operands []string) error {
				if operands[0] != "require-encryption" {
					return usageError("policy", "no `policy %s`: usage: %s", operands[0], t.spec.synopsis)
				}
				name := operands[1]
				if !strings.HasPrefix(name, "s3://") && !strings.Contains(name, "/") {
					name = "s3://" + name
				}
				l, err := t.open(ctx, name)
				if err != nil {
					return err
				}
				if l.bucket == "" || l.key != "" {
					return usageError("policy", "%s is no bucket", operands[1])
				}
				return t.requireEncryption(ctx, l, *dry, *force)
			}
		},
	}
}

// Condition keys that tell whether a write asks for encryption. RGW before 20
// does not know the first, which is then absent from every request; and it
// knows the second of PutObject and UploadPart alone.
const (
	conditionSSEC = "s3:x-amz-server-side-encryption-customer-algorithm"
	conditionSSE  = "s3:x-amz-server-side-encryption"
)

// policySid marks our statement, so that it can be found again.
const policySid = "RgwfsRequireEncryption"

// policyDocument is a bucket policy whose statements are kept as they are.
type policyDocument struct {
	Version   string
	Statement []json.RawMessage
}

// with returns the policy with our statement, for the keys below prefix.
func (p policyDocument) with(bucket, prefix, condition string) ([]byte, error) {
	out := policyDocument{Version: "2012-10-17"}
	if p.Version != "" {
		out.Version = p.Version
	}
	for _, raw := range p.Statement {
		var s struct{ Sid string }
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, err
		}
		if s.Sid != policySid {
			out.Statement = append(out.Statement, raw)
		}
	}
	_, name, tenant := strings.Cut(bucket, ":")
	if !tenant {
		name = bucket
	}
	ours, err := json.Marshal(map[string]any{
		"Sid": policySid, "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
		"Resource":  "arn:aws:s3:::" + name + "/" + prefix + "*",
		"Condition": map[string]any{"Null": map[string]string{condition: "true"}},
	})
	if err != nil {
		return nil, err
	}
	out.Statement = append(out.Statement, ours)
	return json.Marshal(out)
}

// policyTrial is what a policy was found to do.
type policyTrial struct {
	condition                    string
	plainRefused, parts, putSSEC bool
	sseAlone                     bool // x-amz-server-side-encryption without a key passes, and stores plain data
}

func (p policyTrial) whole() bool { return p.plainRefused && p.putSSEC && p.parts && !p.sseAlone }

// shortcomings says what does not work.
func (p policyTrial) shortcomings() []string {
	var list []string
	if !p.parts {
		list = append(list, "uploads in parts are refused, encrypted or not: files can't be larger than --part-size")
	}
	if p.sseAlone {
		list = append(list, "a client that sends x-amz-server-side-encryption without a key is let through, and the server stores its data unencrypted")
	}
	return list
}

func (t *tool) requireEncryption(ctx context.Context, l location, dry, force bool) (err error) {
	if !strings.HasPrefix(t.backend.Endpoint, "https://") {
		return usageError("policy", "SSE-C works over https only: give the https endpoint")
	}
	text, err := t.client.Policy(ctx, l.bucket)
	if err != nil && !s3backend.IsNotExist(err) {
		return t.explain(l, err)
	}
	var existing policyDocument
	if len(text) > 0 {
		if err := json.Unmarshal(text, &existing); err != nil {
			return fail("%s has a policy that can't be read: %v", l, err)
		}
	}
	best, err := t.tryPolicies(ctx, l, existing, text)
	if err != nil {
		return err
	}
	policy, err := existing.with(l.bucket, "", best.condition)
	if err != nil {
		return fail("%v", err)
	}
	if err := t.printf("%s\n", indented(policy)); err != nil {
		return err
	}
	for _, s := range best.shortcomings() {
		t.warn("on this release %s", s)
	}
	switch {
	case dry:
		return nil
	case !best.whole() && !force:
		return fail("%s: not set, as it does not do all on this release: --force sets it all the same", l)
	}
	if err := t.client.SetPolicy(ctx, l.bucket, policy); err != nil {
		return t.explain(l, err)
	}
	t.warn("%s: set", l)
	return nil
}

// tryPolicies finds the policy that works, on keys of a scratch prefix, and
// puts the bucket's own policy back.
func (t *tool) tryPolicies(ctx context.Context, l location, existing policyDocument, text []byte) (best policyTrial, err error) {
	prefix := ".rgwfs-check-" + strings.ToLower(rand.Text()[:12]) + "/"
	clients, err := t.policyClients(ctx)
	if err != nil {
		return best, err
	}
	defer clients.close()
	defer func() {
		// Whatever has happened, and also when it was interrupted.
		ctx := context.WithoutCancel(ctx)
		if rerr := t.client.SetPolicy(ctx, l.bucket, text); rerr != nil {
			err = errors.Join(err, fail("%s: its policy could not be put back: %v", l, rerr))
		}
		if rerr := removeScratch(ctx, t.client.Bucket(l.bucket), prefix); rerr != nil {
			err = errors.Join(err, fail("%s: objects of the check are left below %s: %v", l, prefix, rerr))
		}
	}()
	for _, condition := range []string{conditionSSEC, conditionSSE} {
		policy, err := existing.with(l.bucket, prefix, condition)
		if err != nil {
			return best, fail("%v", err)
		}
		if err := t.client.SetPolicy(ctx, l.bucket, policy); err != nil {
			return best, t.explain(l, err)
		}
		trial, err := clients.try(ctx, l.bucket, prefix, condition)
		if err != nil {
			return best, t.explain(l, err)
		}
		if trial.plainRefused && trial.putSSEC {
			best = trial
			if trial.whole() {
				break
			}
		}
	}
	if best.condition == "" {
		return best, fail("%s: no policy makes this server refuse plain writes and take encrypted ones", l)
	}
	return best, nil
}

// policyClients are one that encrypts, one that doesn't, and one that only
// says that the server should.
type policyClients struct{ ssec, plain, sse *s3backend.Client }

func (t *tool) policyClients(ctx context.Context) (c policyClients, err error) {
	secret := make([]byte, s3backend.KeySize)
	if _, err := rand.Read(secret); err != nil {
		return c, err
	}
	key, err := s3backend.NewKey(secret, "check")
	if err != nil {
		return c, err
	}
	for _, client := range []struct {
		into   **s3backend.Client
		change func(*s3backend.Config)
	}{
		{&c.ssec, func(cfg *s3backend.Config) { cfg.SSEKeys = []s3backend.Key{key} }},
		{&c.plain, func(*s3backend.Config) {}},
		{&c.sse, func(cfg *s3backend.Config) { cfg.SSE = s3backend.Encryption{Algorithm: "AES256"} }},
	} {
		cfg := t.backend
		cfg.SSEKeys, cfg.SSE, cfg.SSEHeaderAlso = nil, s3backend.Encryption{}, false
		client.change(&cfg)
		if *client.into, err = s3backend.New(ctx, cfg); err != nil {
			c.close()
			return c, explainClient(err)
		}
	}
	return c, nil
}

func (c policyClients) close() {
	for _, client := range []*s3backend.Client{c.ssec, c.plain, c.sse} {
		if client != nil {
			client.Close()
		}
	}
}

// try finds out what the policy that is in force does. Only refusals count:
// any other failure ends it.
func (c policyClients) try(ctx context.Context, bucket, prefix, condition string) (trial policyTrial, err error) {
	trial.condition = condition
	put := func(client *s3backend.Client, key string) (bool, error) {
		_, err := client.Bucket(bucket).Put(ctx, s3backend.PutRequest{Key: prefix + key, Body: strings.NewReader("x"), Size: 1})
		return allowed(err)
	}
	ok, err := put(c.plain, "plain")
	if err != nil {
		return trial, err
	}
	trial.plainRefused = !ok
	if trial.putSSEC, err = put(c.ssec, "ssec"); err != nil {
		return trial, err
	}
	if trial.parts, err = allowed(putInParts(ctx, c.ssec.Bucket(bucket), prefix+"parts")); err != nil {
		return trial, err
	}
	// Refused (no such keys here), encrypted, or let through in the clear, which
	// the answer shows: then the client has removed it again.
	_, err = c.sse.Bucket(bucket).Put(ctx, s3backend.PutRequest{Key: prefix + "sse", Body: strings.NewReader("x"), Size: 1})
	trial.sseAlone = err != nil && s3backend.KindOf(err) == s3backend.KindCorrupt
	return trial, nil
}

// allowed tells a refusal from other errors.
func allowed(err error) (bool, error) {
	if err != nil && s3backend.KindOf(err) == s3backend.KindPermission {
		return false, nil
	}
	return err == nil, err
}

func putInParts(ctx context.Context, store s3backend.Store, key string) error {
	id, err := store.CreateMultipart(ctx, s3backend.CreateMultipartRequest{Key: key})
	if err != nil {
		return err
	}
	part, err := store.UploadPart(ctx, s3backend.UploadPartRequest{Key: key, UploadID: id, Number: 1, Body: bytes.NewReader([]byte("x")), Size: 1})
	if err == nil {
		_, err = store.CompleteMultipart(ctx, s3backend.CompleteMultipartRequest{Key: key, UploadID: id, Parts: []s3backend.Part{part}})
	}
	if err != nil {
		if aerr := store.AbortMultipart(context.WithoutCancel(ctx), key, id); aerr != nil {
			err = fmt.Errorf("%w (and an upload of %s is left: %v)", err, key, aerr)
		}
	}
	return err
}

func removeScratch(ctx context.Context, store s3backend.Store, prefix string) error {
	page, err := store.List(ctx, s3backend.ListRequest{Prefix: prefix})
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range page.Objects {
		errs = append(errs, store.Delete(ctx, o.Key))
	}
	return errors.Join(errs...)
}
