-- Reads a checkpoint. KEYS: checkpoint {position}. Returns the position, or '', and the identity of the server.
return {redis.call('HGET', KEYS[1], 'position') or '', run_id()}
