package s3backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// explainDenied adds to a refused write which statement of the bucket's policy
// may be behind it, and what mends it. RGW itself says AccessDenied and no
// more. Only the owner may read a policy; others are told what little is known.
func (e *encrypted) explainDenied(ctx context.Context, err error) error {
	var answer *Error
	if !errors.As(err, &answer) || answer.Code != "AccessDenied" || answer.Message != "" {
		return err
	}
	told := *answer
	policy, perr := e.c.Policy(ctx, e.name)
	if perr != nil {
		return err
	}
	sid, conditions, ok := denying(policy)
	if !ok {
		return err
	}
	told.Message = fmt.Sprintf("the bucket's policy has a statement %q that denies s3:PutObject", sid)
	if len(conditions) > 0 {
		told.Message += " by " + strings.Join(conditions, ", ")
	}
	asks := slices.ContainsFunc(conditions, func(c string) bool { return strings.Contains(c, "server-side-encryption") })
	switch {
	case asks && !e.ring.encrypts():
		told.Message += ": give --sse-c-key-file, or --sse"
	case asks:
		told.Message += ": rgwfs encrypts, but this release does not take that for what the policy asks for here (uploads in parts, if they are larger than --part-size)"
	}
	return &told
}

// denying returns the first statement that denies PutObject under a condition,
// or at all: its Sid and the keys of its conditions.
func denying(policy []byte) (sid string, conditions []string, ok bool) {
	var doc struct {
		Statement []struct {
			Sid, Effect string
			Action      any
			Condition   map[string]map[string]any
		}
	}
	if json.Unmarshal(policy, &doc) != nil {
		return "", nil, false
	}
	for _, s := range doc.Statement {
		if s.Effect != "Deny" || !coversPut(s.Action) {
			continue
		}
		for _, keys := range s.Condition {
			for key := range keys {
				conditions = append(conditions, key)
			}
		}
		slices.Sort(conditions)
		return s.Sid, slices.Compact(conditions), true
	}
	return "", nil, false
}

// coversPut reports whether the Action of a statement, a string or a list of
// them, has s3:PutObject.
func coversPut(action any) bool {
	switch a := action.(type) {
	case string:
		return a == "*" || a == "s3:*" || a == "s3:PutObject" || a == "s3:Put*"
	case []any:
		return slices.ContainsFunc(a, coversPut)
	}
	return false
}
