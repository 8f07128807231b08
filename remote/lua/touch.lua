-- Notes an invalidation of names in buckets of the table. KEYS: buckets. ARGV: tick, capacity of a bucket, and for each bucket how
-- many names there are, and the names. Returns the lowest answer of note.
local lowest, at = 2, 3
for _, bucket in ipairs(KEYS) do
  local last = at + tonumber(ARGV[at])
  lowest = math.min(lowest, note(bucket, ARGV[1], tonumber(ARGV[2]), at + 1, last))
  at = last + 1
end
return lowest
