package session

import "time"

// lessonEvery bounds how often a peer's lesson begins: one that asks again and
// again makes us read everything each time.
const lessonEvery = time.Second

// requests are what the peer has asked for: a lesson that began, and one that is
// put off.
type requests struct {
	began  time.Time // the last one, zero before any
	unsent bool      // nothing of it was sent
	due    time.Time // when the next one begins, zero where none was asked for
}

// lessonRequested begins a lesson, or begins it again, at once or as soon as it
// may begin.
func (s *Session) lessonRequested(now time.Time) {
	if s.ping { // it will not be sent, and is not needed any more
		s.ping = false
		s.pongs++
	}
	next := s.requests.began.Add(lessonEvery)
	switch {
	case s.requests.unsent: // it is this one
	case now.Before(next):
		s.requests.due = next
	default:
		s.beginLesson(now)
	}
}

func (s *Session) beginLesson(now time.Time) {
	s.requests = requests{began: now, unsent: true}
	s.teach(now)
}

// beginDue begins the lesson that was put off, when its time has come.
func (s *Session) beginDue(now time.Time) {
	if due := s.requests.due; !due.IsZero() && !now.Before(due) {
		s.beginLesson(now)
	}
}
