"""The worker: FireWorks workflows from candidates, the task, one candidate under one lease, the stored answer."""
