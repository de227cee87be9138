package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"time"

	"rgwfs/s3backend"
)

// profileAge is how long a profile is believed: servers are upgraded.
const profileAge = 30 * 24 * time.Hour

// profilePath is where the profile of an endpoint is kept; the name gives the
// endpoint away to nobody.
func profilePath(endpoint string) (string, error) {
	dir, err := os.UserCacheDir() // XDG_CACHE_HOME, else ~/.cache
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(endpoint))
	return filepath.Join(dir, "rgwfs", "endpoint-"+hex.EncodeToString(sum[:8])+".json"), nil
}

// saveProfile keeps a profile for mounts, and returns the file.
func saveProfile(p *s3backend.Profile) (path string, err error) {
	path, err = profilePath(p.Endpoint)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return "", err
	}
	// By way of another name, of mode 0600: a mount that reads at the same time
	// finds the old one or the new one.
	f, err := os.CreateTemp(filepath.Dir(path), "new-*.json")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return path, os.Rename(f.Name(), path)
}

// loadProfile returns the profile of an endpoint, nil if there is none that is
// recent.
func loadProfile(endpoint string) (*s3backend.Profile, error) {
	path, err := profilePath(endpoint)
	if err != nil {
		return nil, nil // no home, as daemons have none
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var p s3backend.Profile
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if p.Endpoint != endpoint || time.Since(p.Probed) > profileAge {
		return nil, nil
	}
	return &p, nil
}

// useProfile begins with what the doctor has learned of the server, if it has.
// All of it is found out anyway where it is not known, or not true any more.
func useProfile(s *settings) {
	p, err := loadProfile(s.backend.Endpoint)
	if err != nil {
		if s.backend.Logger != nil {
			s.backend.Logger.Warn("what is known of the server can't be read: remove the file, or run rgwfs doctor again", "error", err)
		}
		return
	}
	if p == nil {
		return
	}
	// A page of 5000 is the most that any RGW has; more would be a mistake.
	const most = 5000
	if p.PageSize > s3backend.MaxListKeys {
		s.backend.PageSize = min(p.PageSize, most)
	}
	s.backend.SignatureHint = p.Signature()
}
