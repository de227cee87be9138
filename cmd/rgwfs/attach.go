package main

import (
	"context"
	"errors"

	"rgwfs/cache"
	"rgwfs/fs"
	"rgwfs/s3backend"
)

// committer is a cache.Bucket or a cache.Account.
type committer interface {
	Sync(ctx context.Context) error
	Unsaved() []string
	Close() error
}

// fuseMount is the attachment of a real mount: the three layers, top first.
type fuseMount struct {
	server *fs.Server
	gone   chan struct{}
	data   committer
	cache  *cache.Cache
	client *s3backend.Client
}

// attach builds the layers and mounts.
func attach(ctx context.Context, s *settings) (_ attachment, err error) {
	client, err := s3backend.New(ctx, s.backend)
	if err != nil {
		return nil, explainClient(err)
	}
	store, err := cache.New(s.cache)
	if err != nil {
		client.Close()
		return nil, err
	}
	m := &fuseMount{gone: make(chan struct{}), cache: store, client: client}
	var root fs.Root
	var service s3backend.Service = client
	if !s.asOf.IsZero() {
		service = client.AsOf(s.asOf)
	}
	if s.source.bucket == "" {
		account := store.Account(service)
		m.data, root = account, fs.AccountRoot(account)
		s.fs.Endpoint = client.Endpoint()
	} else {
		bucket := store.Bucket(service.Bucket(s.source.bucket))
		m.data = bucket
		root, err = fs.BucketRoot(bucket, s.source.prefix)
	}
	if err == nil {
		m.server, err = fs.Mount(s.mountpoint, root, s.fs)
	}
	if err != nil {
		close(m.gone)
		return nil, errors.Join(explainMount(s, err), m.close())
	}
	go func() {
		m.server.Wait()
		close(m.gone)
	}()
	return m, nil
}

// explainMount adds the mend where the checks before could not see the fault.
func explainMount(s *settings, err error) error {
	return fail("%v: check that FUSE may be used here (in a container: --device /dev/fuse --cap-add SYS_ADMIN) and that %s is free", err, s.mountpoint)
}

func (m *fuseMount) done() <-chan struct{} { return m.gone }

func (m *fuseMount) unmount() error { return m.server.Unmount() }

func (m *fuseMount) unmountLazily() error { return m.server.UnmountLazy() }

func (m *fuseMount) sync(ctx context.Context) error { return m.data.Sync(ctx) }

func (m *fuseMount) unsaved() []string { return m.data.Unsaved() }

func (m *fuseMount) close() error {
	err := m.data.Close()
	select {
	case <-m.gone:
	default:
		// Unmounted lazily: programs still have files open and may ask for
		// data until this process ends, which frees all.
		return err
	}
	m.client.Close()
	return errors.Join(err, m.cache.Close())
}
