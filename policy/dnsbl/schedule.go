package dnsbl

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// The numbers of the schedule.
const (
	pace         = time.Second      // no operator of lists is asked more often
	perOperator  = 2                // questions in flight at one operator
	maxFlying    = 64               // questions in flight at all
	jitter       = 0.1              // by which an interval may be longer
	maxTTL       = 24 * time.Hour   // an answer is not believed for longer than that
	testEvery    = 6 * time.Hour    // a healthy list is tested
	retestEvery  = time.Hour        // a list that answers, but not as it should, is tested
	believeAfter = 2                // tests in a row that a list must pass which failed one
	testApart    = 10 * time.Minute // two tests of a list are at least so far apart, and so far if it is not heard
	patience     = 10 * time.Second // for one answer
)

// interval gives the time between two questions about the same: no less than the list, its answer and its operator ask
// for. An operator with many questions is asked at half of its pace, so that none of them is late.
func interval(l *List, ttl time.Duration, load int) time.Duration {
	return max(l.MinPoll, min(ttl, maxTTL), time.Duration(load)*2*pace)
}

// testInterval gives the time between two tests. That a list was not heard is more often the fault of the resolver than
// its own, and then the question never left this host.
func testInterval(l *List, h Health) time.Duration {
	switch h {
	case Healthy:
		return max(testEvery, l.MinPoll)
	case Untested, Silent:
		return testApart
	}
	return max(retestEvery, l.MinPoll)
}

// spread makes a time span longer by up to a tenth: never shorter, for it is the least.
func spread(d time.Duration, r *rand.Rand) time.Duration {
	return d + time.Duration(jitter*r.Float64()*float64(d))
}

// spreadMost gives the most that [spread] makes of a time span.
func spreadMost(d time.Duration) time.Duration { return d + time.Duration(jitter*float64(d)) }

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// task is what a question is for.
type task uint8

const (
	askCell task = iota // whether a subject is listed
	askWhy              // why it is listed
	askTest             // whether the list can be believed
)

// question is something to ask of an operator.
type question struct {
	watch *watch
	cell  *cell // not for askTest
	due   time.Time
	at    int32 // in the queue; -1: it is not there
	task  task
	away  bool // it was asked, and the answer is not there yet
}

// queue is the questions for an operator, by when they are due: container/heap.
type queue []*question

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = int32(i), int32(j)
}

// Push is for container/heap.
func (q *queue) Push(x any) {
	item := x.(*question)
	item.at = int32(len(*q))
	*q = append(*q, item)
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	item := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	item.at = -1
	return item
}

// operator is who runs lists.
type operator struct {
	name   string
	queue  queue
	free   time.Time // when the next question may leave
	flying int
	load   int // subjects that are watched at its lists
}

// put queues a question, or moves it if it is queued for later.
func (o *operator) put(q *question, due time.Time) {
	switch {
	case q.away:
	case q.at < 0:
		q.due = due
		heap.Push(&o.queue, q)
	case due.Before(q.due):
		q.due = due
		heap.Fix(&o.queue, int(q.at))
	}
}

// ready gives the next question if it may leave now; otherwise when to look again, or zero if only an answer can
// change that.
func (o *operator) ready(now time.Time) (*question, time.Time) {
	if len(o.queue) == 0 || o.flying >= perOperator {
		return nil, time.Time{}
	}
	if at := later(o.queue[0].due, o.free); at.After(now) {
		return nil, at
	}
	return heap.Pop(&o.queue).(*question), time.Time{}
}
