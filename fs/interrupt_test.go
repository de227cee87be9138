package fs

import (
	"context"
	"testing"
	"time"
)

func TestPatientContext(t *testing.T) {
	request, interrupt := context.WithCancel(context.Background())
	ctx, stop := patient(request)
	ctx.begun = time.Now().Add(-patience) // an old request
	if ctx.Err() != nil {
		t.Error("done before it was interrupted")
	}
	d := ctx.Done()
	interrupt()
	<-d
	if ctx.Err() != context.Canceled {
		t.Errorf("Err is %v", ctx.Err())
	}
	stop()
}

func TestPatientContextIgnoresEarlyInterrupts(t *testing.T) {
	request, interrupt := context.WithCancel(context.Background())
	ctx, stop := patient(request)
	ctx.begun = time.Now().Add(time.Hour) // a request that stays young
	d := ctx.Done()
	interrupt()
	select {
	case <-d:
		t.Error("an interrupt in the first second is heard")
	default:
	}
	stop()
	if ctx.Err() != nil {
		t.Errorf("Err is %v", ctx.Err())
	}
}

func TestPatientContextOfMutations(t *testing.T) {
	ctx, stop := patient(context.WithoutCancel(t.Context()))
	defer stop()
	if ctx.Done() != nil {
		t.Error("what can't be interrupted has a Done channel")
	}
}
