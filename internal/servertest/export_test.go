package servertest

// PostgresTool looks where pattern says instead of where Debian does.
var PostgresTool = postgresTool

// PID returns the process id of a running server.
func PID(s *Server) int { return s.proc.cmd.Process.Pid }
