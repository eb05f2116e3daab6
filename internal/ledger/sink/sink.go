// Package sink sends rows of the ledger to other programs: to a file, a StatsD
// agent or a webhook. Each is a ledger.Sink. The ledger calls it from one
// goroutine, bounds how long it may take, and counts the rows of a failed call
// as lost: the database is the truth, and a sink is a copy.
package sink

import "time"

// sendPatience bounds one delivery of a webhook.
const sendPatience = 30 * time.Second
