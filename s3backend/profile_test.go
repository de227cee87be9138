package s3backend

import (
	"testing"
	"time"
)

func TestProfileSignature(t *testing.T) {
	for _, c := range []struct {
		v4Names, v4Data, v2Names, v2Data Fact
		want                             string
	}{
		{Yes, Yes, Yes, Yes, SignatureV4},
		{Yes, Yes, No, No, SignatureV4},
		{Yes, No, Yes, Yes, SignatureHybrid},
		{No, No, Yes, Yes, SignatureV2},
		{"", "", Yes, Yes, ""}, // a token that version 4 can't carry is no fault of the server's
		{Yes, "", "", "", ""},
		{No, No, No, No, ""},
	} {
		p := Profile{V4Names: c.v4Names, V4Data: c.v4Data, V2Names: c.v2Names, V2Data: c.v2Data}
		if got := p.Signature(); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestProfileRelease(t *testing.T) {
	for want, p := range map[string]Profile{
		"Ceph Object Gateway (tentacle)":                  {Server: "Ceph Object Gateway (tentacle)", ReadStats: Yes},
		"no sign of a Ceph RADOS Gateway":                 {Server: "nginx", ReadStats: No},
		"unknown":                                         {},
		"a Ceph RADOS Gateway":                            {ReadStats: Yes},
		"a Ceph RADOS Gateway that behaves as release 16": {ReadStats: Yes, PutIfMatchQuoted: No, CopySourceIfMatch: No},
		"a Ceph RADOS Gateway that behaves as release 18": {ReadStats: Yes, PutIfMatchQuoted: No, CopySourceIfMatch: Yes},
		"a Ceph RADOS Gateway that behaves as release 20": {ReadStats: Yes, PutIfMatchQuoted: Yes, CopySourceIfMatch: Yes},
	} {
		if got := p.Release(); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}

func TestProfileStalls(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		quick, plain time.Duration
		want         bool
	}{{2 * ms, 44 * ms, true}, {2 * ms, 3 * ms, false}, {50 * ms, 52 * ms, false}, {0, 44 * ms, false}} {
		if got := (&Profile{SmallAnswer: c.quick, SmallAnswerPlain: c.plain}).Stalls(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// A hint is where the automatic begins; it goes before nothing that was asked
// for.
func TestSignatureHint(t *testing.T) {
	for _, c := range []struct{ mode, hint, want string }{
		{SignatureAuto, "", SignatureV4},
		{SignatureAuto, SignatureHybrid, SignatureHybrid},
		{SignatureAuto, SignatureV2, SignatureV2},
		{SignatureAuto, "nonsense", SignatureV4},
		{SignatureV4, SignatureV2, SignatureV4},
		{SignatureHybrid, SignatureV4, SignatureHybrid},
	} {
		if got := newSigner(&Config{Signature: c.mode, SignatureHint: c.hint}, nil, nil).inUse(); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
