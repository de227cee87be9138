package cache

import "slices"

// Unsaved returns the keys of the files with changes that are not on the
// server, sorted: what is lost if the process ends now. It waits for no
// request.
func (b *Bucket) Unsaved() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []string
	for f := range b.dirty {
		if !f.Unlinked() {
			keys = append(keys, f.Key())
		}
	}
	slices.Sort(keys)
	return keys
}

// Unsaved returns what Bucket.Unsaved does for all buckets, each key after its
// bucket's name and a slash.
func (a *Account) Unsaved() []string {
	var keys []string
	for _, b := range a.all() {
		for _, key := range b.Unsaved() {
			keys = append(keys, b.Name()+"/"+key)
		}
	}
	slices.Sort(keys)
	return keys
}
