-- Continuous token buckets that start full. KEYS: a hash for each bucket with what it lacks and when that was so (µs).
-- ARGV: what is to be done, then capacity, refill a minute and amount of each bucket.
--   take   takes the amounts from all buckets, or from none.   Answers whether, and the wait (µs) until it could be.
--   give   puts the amounts back; below zero they are taken, whether they are there or not.
-- A bucket that is not there is full: so forgetting one, by its TTL or by FLUSHALL, gives no more than it holds.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local verb = ARGV[1]
local most = 60 -- minutes of refill that a bucket may be in debt: an absurd usage must not close it for longer

local buckets, ok, wait = {}, 1, 0
for i, key in ipairs(KEYS) do
  local b = {key = key, capacity = tonumber(ARGV[3 * i - 1]), rate = tonumber(ARGV[3 * i]) / 60e6, n = tonumber(ARGV[3 * i + 1])}
  local v = redis.call('HMGET', key, 'lack', 'at')
  local at = tonumber(v[2] or now)
  b.ahead = at > now -- the clock was set back
  b.lack = math.max(tonumber(v[1] or 0) - math.max(now - at, 0) * b.rate, 0)
  local over = b.lack + b.n - b.capacity
  if verb == 'take' and over > b.capacity * 1e-12 then -- the rounding of refills is no reason to refuse
    ok, wait = 0, math.max(wait, math.ceil(over / b.rate))
  end
  buckets[i] = b
end

for _, b in ipairs(buckets) do
  local lack = b.lack
  if verb == 'give' then lack = math.max(lack - b.n, 0)
  elseif ok == 1 then lack = lack + b.n end
  if lack ~= b.lack or b.ahead then
    lack = math.min(lack, b.capacity + most * 60e6 * b.rate)
    if lack > 0 then
      redis.call('HSET', b.key, 'lack', string.format('%.17g', lack), 'at', string.format('%.0f', now))
      redis.call('PEXPIRE', b.key, string.format('%.0f', math.ceil(lack / b.rate / 1000) + 1000))
    else
      redis.call('DEL', b.key)
    end
  end
end
return {ok, wait}
