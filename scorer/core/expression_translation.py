"""Translates the tree of an expression to a program, and checks that its types fit.

Negations disappear in the translation: of each condition it asks either whether it is true or whether it is false. An
unknown value answers neither.
"""

import ast
from collections.abc import Sequence
from typing import Final

from schemas.contract import Kind
from scorer.core.evaluation import NumberTest, Operation, Program, PushCategoryTest, PushColumn, PushConstant, Step
from scorer.core.expression_tokens import TokenKind
from scorer.core.expression_tree import ExpressionTree, Type

_ARITHMETIC: Final[dict[type[ast.operator], Operation]] = {
    ast.Add: Operation.ADD,
    ast.Sub: Operation.SUBTRACT,
    ast.Mult: Operation.MULTIPLY,
    ast.Div: Operation.DIVIDE,
}
_COMPARISONS: Final[dict[type[ast.cmpop], tuple[Operation, Operation]]] = {
    ast.Lt: (Operation.GREATER_OR_EQUAL, Operation.LESS),
    ast.LtE: (Operation.GREATER, Operation.LESS_OR_EQUAL),
    ast.Gt: (Operation.LESS_OR_EQUAL, Operation.GREATER),
    ast.GtE: (Operation.LESS, Operation.GREATER_OR_EQUAL),
    ast.Eq: (Operation.DIFFERENT, Operation.EQUAL),
    ast.NotEq: (Operation.EQUAL, Operation.DIFFERENT),
}
"""By the comparison, the operations that find out whether it is false, and whether it is true."""

_NOT_NUMBERS: Final = {
    Type.CATEGORY: 'a category is not a number; compare it with its values, for instance == "…" or in ("…", "…")',
    Type.DATE: "a date is not a number; write days(…) around the field",
    Type.TEXT: "a text is not a number; the name of a field is written without quotation marks, or in backticks",
    Type.CONDITION: "a condition is not a number: it is neither calculated with nor compared; use and, or, not",
    Type.LIST: "a list is only possible after `in`; remove the comma or the square brackets",
}


def translate_number(tree: ExpressionTree) -> Program:
    """Translates a number.

    Raises:
        ExpressionError: it is something else, or its types do not fit.
    """
    translation = _Translation(tree)
    translation.number(tree.root)
    return tuple(translation.steps)


def translate_condition(tree: ExpressionTree) -> Program:
    """Translates a condition.

    Raises:
        ExpressionError: it is something else, or its types do not fit.
    """
    translation = _Translation(tree)
    translation.condition(tree.root, truth=True)
    return tuple(translation.steps)


class _Translation:
    """Each method appends the steps that push the value of a node."""

    def __init__(self, tree: ExpressionTree) -> None:
        self._tree = tree
        self.steps: list[Step] = []
        """The program so far."""

    def number(self, node: ast.expr) -> None:
        """Appends a number; a boolean is 0 or 1."""
        type_ = self._tree.type_of(node)
        if type_ in _NOT_NUMBERS:
            raise self._tree.fault(node, _NOT_NUMBERS[type_])
        match node:
            case ast.BinOp():
                self._chain(node)
            case ast.UnaryOp():
                self.number(node.operand)
                self.steps.append(Operation.NEGATE)
            case ast.Call():
                self._call(node)
            case _:
                self._operand(node)

    def _chain(self, node: ast.BinOp) -> None:
        """Appends `a + b - c …` from left to right, without a recursion per operator."""
        chain = [node]
        while isinstance(chain[-1].left, ast.BinOp):
            chain.append(chain[-1].left)
        self.number(chain[-1].left)
        for operation in reversed(chain):
            self.number(operation.right)
            self.steps.append(_ARITHMETIC[type(operation.op)])
        # Once is enough: as the first operand of a further operator, an infinite number never becomes finite.
        self.steps.append(Operation.KNOWN_IF_FINITE)

    def _operand(self, node: ast.expr) -> None:
        token = self._tree.token(node)
        if token.kind is TokenKind.NAME:
            self.steps.append(PushColumn(self._tree.field(node).name))
        elif token.kind is TokenKind.BOOLEAN:
            raise self._tree.fault(node, f"{token.text} is not a number; write 1 or 0")
        else:
            self.steps.append(PushConstant(self._tree.number(node)))

    def _call(self, call: ast.Call) -> None:
        function = self._tree.function(call)
        if function in {"min", "max"}:
            self._extreme(call, Operation(function))
            return
        argument = self._only_argument(call)
        if function == "abs":
            self.number(argument)
            self.steps.append(Operation.ABSOLUTE)
        elif function == "days":
            field = self._tree.field(argument)
            if field.kind not in {Kind.DATE, Kind.DATE_TIME}:
                raise self._tree.fault(
                    argument, f"days needs a date or date-time; this is a field of kind {field.kind}"
                )
            self.steps.append(PushColumn(field.name))
        else:
            self._null_test(argument, truth=True)
            self.steps.append(Operation.AS_NUMBER)

    def _extreme(self, call: ast.Call, operation: Operation) -> None:
        if len(call.args) < 2:
            raise self._tree.fault(call, f"{operation} needs at least two numbers, separated by commas")
        self.number(call.args[0])
        for argument in call.args[1:]:
            self.number(argument)
            self.steps.append(operation)

    def _only_argument(self, call: ast.Call) -> ast.expr:
        if len(call.args) != 1:
            raise self._tree.fault(call, f"{self._tree.function(call)} needs one argument, not {len(call.args)}")
        return call.args[0]

    def condition(self, node: ast.expr, *, truth: bool) -> None:
        """Appends whether a condition is true, or with `truth=False` whether it is false."""
        type_ = self._tree.type_of(node)
        match node:
            case ast.BoolOp():
                operation = Operation.BOTH if isinstance(node.op, ast.And) is truth else Operation.EITHER
                self.condition(node.values[0], truth=truth)
                for value in node.values[1:]:
                    self.condition(value, truth=truth)
                    self.steps.append(operation)
            case ast.UnaryOp(op=ast.Not()):
                self.condition(node.operand, truth=not truth)
            case ast.Compare():
                self._comparisons(node, truth=truth)
            case ast.Call() if type_ is Type.BOOLEAN:
                self._null_test(self._only_argument(node), truth=truth)
            case _ if type_ is Type.BOOLEAN:
                self._boolean(node)
                self.steps += [PushConstant(float(truth)), Operation.EQUAL]
            case _:
                raise self._tree.fault(node, f"{type_.value} is not a condition; compare it with something")

    def _boolean(self, node: ast.expr) -> None:
        """Appends a boolean, a constant or not, as 0 or 1."""
        token = self._tree.token(node)
        if token.kind is TokenKind.BOOLEAN:
            self.steps.append(PushConstant(float(token.text in {"true", "True"})))
        else:
            self.number(node)

    def _null_test(self, node: ast.expr, *, truth: bool) -> None:
        field = self._tree.field(node)
        if field.kind is Kind.CATEGORY:
            self.steps.append(PushCategoryTest(field.name, bytes([not truth] * len(field.categories) + [truth])))
        else:
            self.steps += [PushColumn(field.name), Operation.IS_UNKNOWN if truth else Operation.IS_KNOWN]

    def _comparisons(self, node: ast.Compare, *, truth: bool) -> None:
        operands = [node.left, *node.comparators]
        kinds = {type(operator) for operator in node.ops}
        if len(node.ops) > 1 and not (kinds <= {ast.Lt, ast.LtE} or kinds <= {ast.Gt, ast.GtE}):
            raise self._tree.fault(
                node, "only < and <=, or > and >=, are chained, as in 1 < x <= 5; join others by and"
            )
        if kinds <= {ast.In, ast.NotIn}:
            self._membership(*operands, truth=(kinds == {ast.In}) is truth)
            return
        for position, operator in enumerate(node.ops):
            self._comparison(operands[position], operator, operands[position + 1], truth=truth)
            if position:
                self.steps.append(Operation.BOTH if truth else Operation.EITHER)

    def _comparison(self, left: ast.expr, operator: ast.cmpop, right: ast.expr, *, truth: bool) -> None:
        types = (self._tree.type_of(left), self._tree.type_of(right))
        is_equality = isinstance(operator, ast.Eq | ast.NotEq)
        if Type.CATEGORY in types:
            category, value = (left, right) if types[0] is Type.CATEGORY else (right, left)
            if not is_equality:
                raise self._tree.fault(category, "a category has no order; compare it by ==, != or in")
            self._category_test(category, [value], truth=isinstance(operator, ast.Eq) is truth)
            return
        append = self.number
        if set(types) == {Type.BOOLEAN}:
            if not is_equality:
                raise self._tree.fault(left, "a boolean has no order; compare it by == or !=")
            append = self._boolean
        elif set(types) == {Type.BOOLEAN, Type.NUMBER}:
            boolean = left if types[0] is Type.BOOLEAN else right
            raise self._tree.fault(boolean, "a boolean is compared with true, false or a boolean, not with a number")
        append(left)
        append(right)
        self.steps.append(_COMPARISONS[type(operator)][truth])

    def _membership(self, left: ast.expr, right: ast.expr, *, truth: bool) -> None:
        # Without a comma, parentheses do not make a list.
        values = right.elts if isinstance(right, ast.Tuple | ast.List) else [right]
        type_ = self._tree.type_of(left)
        if type_ is Type.CATEGORY:
            self._category_test(left, values, truth=truth)
        elif type_ is Type.BOOLEAN:
            raise self._tree.fault(left, "a boolean is compared by == or !=, not by in")
        else:
            self.number(left)
            self.steps.append(NumberTest(tuple(map(self._signed_constant, values)), truth))

    def _signed_constant(self, node: ast.expr) -> float:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._signed_constant(node.operand)
        return self._tree.number(node)

    def _category_test(self, node: ast.expr, values: Sequence[ast.expr], *, truth: bool) -> None:
        """Appends whether a category is one of the values; or, for `truth=False`, is known and none of them."""
        field = self._tree.field(node)
        codes = {self._tree.category_code(field, value) for value in values}
        tests = [(code in codes) is truth for code in range(len(field.categories))]
        self.steps.append(PushCategoryTest(field.name, bytes([*tests, False])))
