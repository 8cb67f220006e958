"""What learns: loading a base, training it on examples (`train.train_role`), and answering with what came out."""
