"""A plug-in of descent-lab. Its choices are in conf/; classes are imported when a choice that names them is made."""
