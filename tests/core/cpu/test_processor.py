from llm.core.cpu.processor import describe_processor


def test_the_processor_has_a_name():
    assert describe_processor().endswith(" threads") and "(" in describe_processor()
