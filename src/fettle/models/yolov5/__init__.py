"""Parts of ``yolov5_resnet``: YOLOv5 (Jocher et al. 2020) on the features of a ResNet."""
