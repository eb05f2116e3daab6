-- Counts a request for several names at once, each in a minute and in a day of the calendar, or for none of them.
-- KEYS: two hashes a name, of its minute and its day, with the start of the window (µs) and the count of each metric.
-- ARGV: reserve, the amounts of the four metrics, four midnights (µs) around now; then for each name whether its minute
-- and its day are counted, and four bounds for each (0: none).
--   Answers whether it was counted, now, the starts of minute and day, the end of the day, and what was counted before.
-- Or: settle, the amounts to add, the starts of the windows in which they were reserved; then for each name as above.
-- A window that has ended is left alone: the amounts belong to it and to no other.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local fields = {'requests', 'tokens', 'input', 'output'}
local n = {tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])}
local function text(x) return string.format('%.0f', x) end -- tostring would round to 14 digits

local function read(key, from)
  local v = redis.call('HMGET', key, 'from', unpack(fields))
  local have = {0, 0, 0, 0}
  if tonumber(v[1]) == from then
    for m = 1, 4 do have[m] = tonumber(v[m + 1] or 0) end
    return have, true
  end
  return have, false
end

local function write(key, from, have, ends)
  local entries = {'from', text(from)}
  for m = 1, 4 do
    entries[#entries + 1] = fields[m]
    entries[#entries + 1] = text(math.max(have[m] + n[m], 0))
  end
  redis.call('HSET', key, unpack(entries))
  if ends then redis.call('PEXPIRE', key, text(math.ceil((ends - now) / 1000) + 1000)) end
end

if ARGV[1] == 'settle' then
  for i, key in ipairs(KEYS) do
    local from = tonumber(ARGV[6 + (i - 1) % 2])
    local have, same = read(key, from)
    if same and ARGV[7 + i] == '1' then write(key, from, have) end
  end
  return {1}
end

local minute = math.floor(now / 60000000) * 60000000
local day, midnight
for i = 6, 8 do
  if tonumber(ARGV[i]) <= now and now < tonumber(ARGV[i + 1]) then day, midnight = tonumber(ARGV[i]), tonumber(ARGV[i + 1]) end
end
if not day then return redis.error_reply('the clocks of Redis and of the gateway are more than a day apart') end

local starts, ends = {minute, day}, {minute + 60000000, midnight}
local answer, state, ok = {1, now, minute, day, midnight}, {}, true
for i, key in ipairs(KEYS) do
  local of = math.floor((i - 1) / 2) * 10 + 10 -- the arguments of the name
  local window = (i - 1) % 2                   -- 0: minute, 1: day
  local have = {0, 0, 0, 0}
  local counted = ARGV[of + window] == '1'
  if counted then have = read(key, starts[window + 1]) end
  for m = 1, 4 do
    local bound = tonumber(ARGV[of + 1 + window * 4 + m])
    if bound > 0 and n[m] > 0 and have[m] > bound - n[m] then ok = false end
    answer[#answer + 1] = have[m]
  end
  state[i] = counted and have
end
if not ok then
  answer[1] = 0
  return answer
end
for i, key in ipairs(KEYS) do
  local window = (i - 1) % 2 + 1
  if state[i] then write(key, starts[window], state[i], ends[window]) end
end
return answer
