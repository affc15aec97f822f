# Read by the lines of cluster.yaml and by ~/.bashrc of its nodes: ray and crystalloop on PATH, token authentication on.
# RAY_enable_autoscaler_v2=0: the newer autoscaler counts the head against `worker_ips`, and no worker ever joins.
export PATH="$HOME/crystalloop/.venv/bin:$PATH" RAY_AUTH_MODE=token RAY_enable_autoscaler_v2=0
