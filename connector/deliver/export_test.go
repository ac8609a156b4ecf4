package deliver

import "time"

// SetFinishTimeout replaces the time that a batch has to be finished in when
// its generation has ended.
func (d *Deliverer) SetFinishTimeout(timeout time.Duration) { d.finish = timeout }

// FetchBytes is how much one fetch may bring.
const FetchBytes = fetchBytes

// SetPublishTimeout replaces the time for one try to publish a dead letter.
func (d *Deliverer) SetPublishTimeout(timeout time.Duration) { d.dead.timeout = timeout }
