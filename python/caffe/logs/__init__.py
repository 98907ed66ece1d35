"""What a run tells: Caffe's log lines, JSON lines, a progress bar."""
