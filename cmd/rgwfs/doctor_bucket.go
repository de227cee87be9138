package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rgwfs/s3backend"
)

// throughputSize is large enough to outgrow the start of a TCP connection on a
// fast network, and small enough for a slow one.
const throughputSize = 8 << 20

// bucket does the checks that need one.
func (d *doctor) bucket(ctx context.Context) {
	client := d.t.client
	probe := client.NewProbe(d.source.bucket, d.source.prefix)
	defer func() {
		if err := probe.Close(ctx); err != nil {
			d.warning("cleanup", "%v: remove them by `rgwfs rm -r s3://%s/%s`", err, d.source.bucket, probe.Scratch())
		}
	}()
	facts := &s3backend.Profile{}
	if err := probe.Reads(ctx, facts); err != nil && s3backend.KindOf(err) != s3backend.KindPermission {
		d.refused(ctx, stateFailure, "server", "s3:ListBucket", err)
		return
	}
	room := d.quota(ctx)
	rights := probe.Rights(ctx, d.write)
	if ctx.Err() != nil {
		return
	}
	list, write := d.rights(ctx, rights)
	if err := probe.Signatures(ctx, write, facts); err != nil {
		d.refused(ctx, stateWarning, "signature", "s3:PutObject", err)
	} else {
		d.signature(facts, write)
	}
	if list {
		d.speed(ctx, probe, facts, write && (room < 0 || room > 4*throughputSize))
	}
	d.encryption(ctx)
	if write {
		d.conditions(ctx, probe, facts)
	}
	if ctx.Err() != nil {
		return
	}
	if facts.PageSize > 0 {
		d.ok("page size", "%d keys of a listing", facts.PageSize)
	}
	d.ok("release", "%s", facts.Release())
	if !write || !list {
		return // what is known of the server from before is more
	}
	if path, err := saveProfile(facts); err != nil {
		d.warning("profile", "it can't be kept for mounts: %v", err)
	} else {
		d.ok("profile", "kept for mounts in %s", path)
	}
}

// needs names the action of S3's policies that a right is.
func needs(right string) string {
	return map[string]string{
		"list": "s3:ListBucket", "get": "s3:GetObject", "put": "s3:PutObject",
		"delete": "s3:DeleteObject", "multipart": "s3:PutObject and s3:AbortMultipartUpload",
	}[right]
}

// rights tells what the credentials may do, and returns whether they may list,
// and whether they may write all that the further checks write.
func (d *doctor) rights(ctx context.Context, rights []s3backend.Right) (list, write bool) {
	var have, unknown []string
	write = d.write
	for _, r := range rights {
		switch {
		case r.Untried != "":
			unknown = append(unknown, fmt.Sprintf("%s (%s)", r.Name, r.Untried))
			write = write && r.Name == "get"
		case r.Err == nil:
			have = append(have, r.Name)
			list = list || r.Name == "list"
		default:
			write = write && r.Name == "get"
			check, action := r.Name, needs(r.Name)
			if r.Name == "put" {
				action += ", or mount with --read-only"
			}
			d.refused(ctx, stateFailure, check, action, r.Err)
		}
	}
	text := strings.Join(have, ", ")
	if text == "" {
		text = "none"
	}
	if len(unknown) > 0 {
		text += "; unknown: " + strings.Join(unknown, ", ")
	}
	d.ok("rights", "%s", text)
	return list, write
}

// quota tells what is left, and returns it in bytes, -1 if there is no limit.
func (d *doctor) quota(ctx context.Context) int64 {
	u, err := d.t.client.Bucket(d.source.bucket).Usage(ctx)
	if err != nil {
		if s3backend.KindOf(err) == s3backend.KindPermission {
			d.ok("quota", "unknown: these credentials may not see it")
			return -1
		}
		d.refused(ctx, stateWarning, "quota", "s3:ListBucket", err)
		return -1
	}
	room := int64(-1)
	worst := stateOK
	var parts []string
	for _, q := range []struct {
		of          string
		used, limit int64
		show        func(int64) string
	}{
		{"the bucket", u.Bytes, u.BucketBytes, humanSize},
		{"the owner", u.UserBytesUsed, u.UserBytes, humanSize},
		{"the bucket's objects", u.Objects, u.BucketCount, plainNumber},
		{"the owner's objects", u.UserCountUsed, u.UserCount, plainNumber},
	} {
		if q.limit < 0 || q.used < 0 {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s of %s for %s", q.show(q.used), q.show(q.limit), q.of))
		if left := max(q.limit-q.used, 0); strings.HasSuffix(q.of, "objects") {
			if left == 0 {
				room = 0
			}
		} else if room < 0 || left < room {
			room = left
		}
		switch {
		case q.used >= q.limit:
			worst = stateFailure
		case worst == stateOK && float64(q.used) > 0.9*float64(q.limit):
			worst = stateWarning
		}
	}
	if len(parts) == 0 {
		used := ""
		if u.Bytes >= 0 {
			used = fmt.Sprintf("; the bucket holds %s in %d objects", humanSize(u.Bytes), u.Objects)
		}
		d.ok("quota", "none that the server tells%s", used)
		return room
	}
	text := strings.Join(parts, ", ")
	switch worst {
	case stateFailure:
		d.failure("quota", "%s: it is full; remove what is not needed, or have its administrator raise it", text)
	case stateWarning:
		d.warning("quota", "%s: it is nearly full; remove what is not needed, or have its administrator raise it", text)
	default:
		d.ok("quota", "%s", text)
	}
	return room
}

func plainNumber(n int64) string { return fmt.Sprint(n) }

// signature tells which signatures work, and how bodies are best signed.
func (d *doctor) signature(f *s3backend.Profile, write bool) {
	if d.t.backend.NoSignRequest {
		d.ok("signature", "none: --no-sign-request")
		return
	}
	works := func(names, data s3backend.Fact) string {
		switch {
		case names == s3backend.Yes && data == s3backend.Yes:
			return "works"
		case names == s3backend.No && data == s3backend.No:
			return "is refused"
		case names == s3backend.Yes && data == s3backend.No:
			return "works for listings and HEAD alone"
		}
		return "is not known"
	}
	text := fmt.Sprintf("version 4 %s, version 2 %s", works(f.V4Names, f.V4Data), works(f.V2Names, f.V2Data))
	best := f.Signature()
	switch {
	case best == "" || best == s3backend.SignatureV4 || d.t.backend.Signature != s3backend.SignatureAuto:
		d.ok("signature", "%s", text)
	default:
		d.warning("signature", "%s: rgwfs finds out by itself; --signature=%s spares asking twice", text, best)
	}
	switch f.SignedPayload {
	case s3backend.Yes:
		d.ok("payload", "signed and unsigned ones are accepted")
	case s3backend.No:
		d.warning("payload", "the server, or a proxy before it, computes another hash of what is sent: rgwfs leaves it out where files are written; --unsigned-payload does everywhere")
	}
}

// speed tells latency and throughput.
func (d *doctor) speed(ctx context.Context, probe *s3backend.Probe, f *s3backend.Profile, write bool) {
	if err := probe.Latency(ctx, f); err != nil {
		d.refused(ctx, stateWarning, "latency", "s3:ListBucket", err)
		return
	}
	switch {
	case f.Stalls():
		d.ok("latency", "%s for a small answer; it would be %s if rgwfs did not acknowledge at once (Nagle stall), as it is for other clients: radosgw's tcp_nodelay=1 mends it for all",
			briefly(f.SmallAnswer), briefly(f.SmallAnswerPlain))
	case f.SmallAnswer >= 100*time.Millisecond:
		d.warning("latency", "%s for a small answer: each file opened or directory listed for the first time takes as long; use a nearer endpoint, if there is one", briefly(f.SmallAnswer))
	default:
		d.ok("latency", "%s for a small answer; no Nagle stall", briefly(f.SmallAnswer))
	}
	if !write {
		return
	}
	up, down, err := probe.Throughput(ctx, throughputSize)
	if err != nil {
		d.refused(ctx, stateWarning, "throughput", "s3:PutObject", err)
		return
	}
	d.ok("throughput", "%s/s up, %s/s down in one stream; a mount has many", humanSize(int64(up)), humanSize(int64(down)))
}

// encryption tells whether the server encrypts as the flags ask for.
func (d *doctor) encryption(ctx context.Context) {
	if len(d.t.backend.SSEKeys) == 0 && d.t.backend.SSE.Algorithm == "" || !d.write {
		return
	}
	err := verifyEncryption(ctx, d.t.client, d.settings())
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.failure("encryption", "%v", err)
	default:
		d.ok("encryption", "the server encrypts as asked for")
	}
}

// conditions tells what differs by release. rgwfs does without what is missing.
func (d *doctor) conditions(ctx context.Context, probe *s3backend.Probe, f *s3backend.Profile) {
	const right = "s3:PutObject" // also of what is not encrypted
	if err := probe.Conditions(ctx, f); err != nil {
		d.refused(ctx, stateWarning, "conditions", right, err)
	} else {
		d.tellConditions(f)
	}
	if !strings.HasPrefix(d.t.backend.Endpoint, "https:") || ctx.Err() != nil {
		return
	}
	if err := probe.Encryption(ctx, f); err != nil {
		d.refused(ctx, stateWarning, "SSE-C", right, err)
		return
	}
	if f.SSEC != s3backend.Yes {
		d.warning("SSE-C", "the server does not encrypt with a key of yours, and rgwfs will write nothing with --sse-c-key-file: if a proxy ends TLS before it, have its administrator set rgw_trust_forwarded_https")
		return
	}
	d.ok("SSE-C", "works; %s", haveAndLack(map[string]s3backend.Fact{
		"copies of encrypted objects": f.SSECCopy, "encrypting copies": f.SSECCopyPlain, "copies of parts": f.SSECCopyPart,
	}))
}

func (d *doctor) tellConditions(f *s3backend.Profile) {
	text := haveAndLack(map[string]s3backend.Fact{
		"exclusive create": f.PutIfNoneMatch, "If-Match": f.PutIfMatch, "quoted If-Match": f.PutIfMatchQuoted,
		"on Complete": f.CompleteCondition, "on DELETE": f.DeleteIfMatch, "on a copy's source": f.CopySourceIfMatch, "ETag of Complete": f.CompleteETag,
	})
	if f.PutIfNoneMatch != s3backend.Yes {
		d.warning("conditions", "%s: where several machines create the same file at once, O_EXCL and lock files can't be relied on", text)
		return
	}
	d.ok("conditions", "%s", text)
}
