package admin

import "time"

// QuickFeeds shortens what viewers of the feed wait for, until the returned
// function is called.
func QuickFeeds() (restore func()) {
	patience, pause, tick, comment, check := feedPatience, feedPause, feedTick, feedComment, feedCheck
	feedPatience, feedPause, feedTick, feedComment, feedCheck = 500*time.Millisecond, 10*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
	return func() {
		feedPatience, feedPause, feedTick, feedComment, feedCheck = patience, pause, tick, comment, check
	}
}

// QuickReports shortens what a report waits for and how long it may take, until
// the returned function is called.
func QuickReports(turn, patience time.Duration) (restore func()) {
	beforeTurn, before := reportTurn, reportPatience
	reportTurn, reportPatience = turn, patience
	return func() { reportTurn, reportPatience = beforeTurn, before }
}
