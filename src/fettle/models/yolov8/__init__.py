"""``yolov8``: the network is Ultralytics' (AGPL-3.0), imported when it is built; its outputs are decoded here."""
