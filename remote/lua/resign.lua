-- Gives the lease of a feed back. KEYS: lease. ARGV: holder.
if redis.pcall('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
