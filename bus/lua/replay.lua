-- What a receiver lacks, from the journal. ARGV, further: its lineage, its number, how many messages at most.
local missing = {}
if lineage == ARGV[2] and n > tonumber(ARGV[3]) then
  missing = redis.call('XRANGE', KEYS[2], string.format('%.0f-0', tonumber(ARGV[3]) + 1), '+', 'COUNT', ARGV[4])
end
