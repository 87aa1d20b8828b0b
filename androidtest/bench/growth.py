def bench(options, lab, programs):
    raise NotImplementedError
