"""The public contract: records on the topics, their formats, and rejections. Imports no other package of ours."""
