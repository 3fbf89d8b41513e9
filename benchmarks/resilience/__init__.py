"""What the scripts that attack, soak and kill a server share.

``server`` starts one of any checkout on a pool with people and keys, ``watch`` looks at it from outside while something
happens, ``wire`` talks to it in ways that no HTTP library would, ``hostile`` makes what is sent, ``attacks`` sends it.
"""
