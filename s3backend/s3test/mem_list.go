package s3test

import (
	"context"
	"slices"
	"strings"

	"rgwfs/s3backend"
)

// List implements s3backend.Store.
func (m *Mem) List(ctx context.Context, req s3backend.ListRequest) (s3backend.Page, error) {
	m.recorder.add(OpList, req.Prefix)
	if err := m.cancelled(ctx, OpList, req.Prefix); err != nil {
		return s3backend.Page{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	limit := m.limits.PageSize
	if req.MaxKeys > 0 && req.MaxKeys < limit {
		limit = req.MaxKeys
	}
	var page s3backend.Page
	last := ""
	for i := m.startLocked(req); i < len(m.keys) && strings.HasPrefix(m.keys[i], req.Prefix); {
		if len(page.Objects)+len(page.Prefixes) == limit {
			page.Next = last
			break
		}
		key := m.keys[i]
		if common := commonPrefix(key, req); common != "" {
			page.Prefixes = append(page.Prefixes, common)
			last = common
			i, _ = slices.BinarySearch(m.keys, after(common))
			continue
		}
		o := m.objects[key].object
		o.Metadata, o.ContentType = nil, ""
		page.Objects = append(page.Objects, o)
		last = key
		i++
	}
	return page, nil
}

// startLocked returns the index of the first key that a listing looks at.
func (m *Mem) startLocked(req s3backend.ListRequest) int {
	from := req.Prefix
	if req.StartAfter >= from {
		from = req.StartAfter + "\x00" // exclusive
		if common := commonPrefix(req.StartAfter, req); common != "" {
			// RGW moves a marker that lies in a common prefix behind it.
			from = after(common)
		}
	}
	i, _ := slices.BinarySearch(m.keys, from)
	return i
}

// commonPrefix returns the common prefix that a listing shows in key's place,
// "" if it shows the key itself.
func commonPrefix(key string, req s3backend.ListRequest) string {
	if req.Delimiter == "" || !strings.HasPrefix(key, req.Prefix) {
		return ""
	}
	i := strings.Index(key[len(req.Prefix):], req.Delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(req.Prefix)+i+len(req.Delimiter)]
}

// after returns the first string in byte order that is above prefix and does
// not begin with it; prefix ends in a delimiter, which is ASCII.
func after(prefix string) string {
	n := len(prefix) - 1
	return prefix[:n] + string(rune(prefix[n]+1))
}
