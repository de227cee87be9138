package s3backend

import (
	"strings"
	"time"
)

// Fact is what is known about a behaviour of a server: Yes, No, or "" as long
// as it was not asked.
type Fact string

// The values of a Fact that is known.
const (
	Yes Fact = "yes"
	No  Fact = "no"
)

func factOf(b bool) Fact {
	if b {
		return Yes
	}
	return No
}

// Profile is how a server was found to behave, by requests that show it; no
// version is ever compared. It holds no secret. Nothing depends on it being
// there or being right: it spares asking again what the answers would tell.
type Profile struct {
	Endpoint string    `json:"endpoint"`
	Probed   time.Time `json:"probed"`
	Server   string    `json:"server,omitempty"` // the Server header: for people

	// Signatures of listings and HEAD (names) and of all else (data).
	V4Names Fact `json:"v4_names,omitempty"`
	V4Data  Fact `json:"v4_data,omitempty"` // with UNSIGNED-PAYLOAD
	V2Names Fact `json:"v2_names,omitempty"`
	V2Data  Fact `json:"v2_data,omitempty"`
	// SignedPayload: version 4 with the hash of a body is verified as it was sent.
	SignedPayload Fact `json:"signed_payload,omitempty"`

	PageSize  int  `json:"page_size,omitempty"`  // keys of a listing at most, 0 = unknown
	ReadStats Fact `json:"read_stats,omitempty"` // HEAD of a bucket tells its size (RGW only)
	// StatsUnasked: it does so without the query read-stats.
	StatsUnasked Fact `json:"stats_unasked,omitempty"`

	// Conditions that are honoured.
	PutIfNoneMatch    Fact `json:"put_if_none_match,omitempty"`
	PutIfMatch        Fact `json:"put_if_match,omitempty"`
	PutIfMatchQuoted  Fact `json:"put_if_match_quoted,omitempty"` // as RFC 9110 has it
	DeleteIfMatch     Fact `json:"delete_if_match,omitempty"`
	CompleteCondition Fact `json:"complete_condition,omitempty"`
	CopySourceIfMatch Fact `json:"copy_source_if_match,omitempty"`
	// CompleteETag: the first answer to CompleteMultipartUpload has an ETag.
	CompleteETag Fact `json:"complete_etag,omitempty"`

	SSEC          Fact `json:"sse_c,omitempty"`            // a PUT with a key is confirmed
	SSECCopy      Fact `json:"sse_c_copy,omitempty"`       // CopyObject of an encrypted object
	SSECCopyPlain Fact `json:"sse_c_copy_plain,omitempty"` // CopyObject encrypts a plain object
	SSECCopyPart  Fact `json:"sse_c_copy_part,omitempty"`  // UploadPartCopy of an encrypted object

	// Median times of a small answer, in which the server's frontend may wait
	// for the client's acknowledgement (Nagle's algorithm), with and without
	// what rgwfs does against it.
	SmallAnswer      time.Duration `json:"small_answer_ns,omitempty"`
	SmallAnswerPlain time.Duration `json:"small_answer_plain_ns,omitempty"`
}

// Signature returns the value of Config.Signature that the facts speak for, ""
// if they don't tell.
func (p *Profile) Signature() string {
	switch {
	case p.V4Names == Yes && p.V4Data == Yes:
		return SignatureV4
	case p.V4Names == Yes && p.V4Data == No && p.V2Data == Yes:
		return SignatureHybrid
	case p.V2Names == Yes && p.V2Data == Yes && p.V4Data == No:
		return SignatureV2
	}
	return ""
}

// Stalls reports whether the server holds small answers back until the client
// acknowledges. A kernel delays an acknowledgement by 40 ms.
func (p *Profile) Stalls() bool {
	return p.SmallAnswer > 0 && p.SmallAnswerPlain-p.SmallAnswer > 20*time.Millisecond
}

// Release says which Ceph a server is, or behaves as: for people only.
func (p *Profile) Release() string {
	switch {
	case strings.Contains(p.Server, "Ceph"):
		return p.Server
	case p.ReadStats == No:
		return "no sign of a Ceph RADOS Gateway"
	case p.ReadStats != Yes:
		return "unknown"
	case p.PutIfMatchQuoted == Yes:
		return "a Ceph RADOS Gateway that behaves as release 20"
	case p.CopySourceIfMatch == No:
		return "a Ceph RADOS Gateway that behaves as release 16"
	case p.CopySourceIfMatch == Yes:
		return "a Ceph RADOS Gateway that behaves as release 18"
	}
	return "a Ceph RADOS Gateway"
}
