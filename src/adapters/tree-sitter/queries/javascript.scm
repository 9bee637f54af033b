; Functions that have a name and a body, what they stand in, comments, imports, calls.
; @definition is a function with its @name and @body; @scope and @class give those inside a prefix; @outer widens the
; definition that begins where its @inner does.

(function_declaration name: (identifier) @name body: (_) @body) @definition
(generator_function_declaration name: (identifier) @name body: (_) @body) @definition
(method_definition name: (_) @name body: (_) @body) @definition
(field_definition property: (_) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @definition
(pair key: (_) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body) (generator_function body: (_) @body)]) @definition
(variable_declarator name: (identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body) (generator_function body: (_) @body)]) @definition
(lexical_declaration . (variable_declarator) @inner .) @outer
(variable_declaration . (variable_declarator) @inner .) @outer
(assignment_expression left: [(identifier) (member_expression)] @name
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body) (generator_function body: (_) @body)]) @definition
(expression_statement (assignment_expression) @inner) @outer
(export_statement value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @definition
(export_statement declaration: (_) @inner) @outer

(class_declaration name: (_) @name) @class
(variable_declarator name: (identifier) @name value: (class)) @class
(assignment_expression left: [(identifier) (member_expression)] @name right: (class)) @class
(export_statement value: (class)) @class
(variable_declarator name: (identifier) @name value: (object)) @scope
(assignment_expression left: [(identifier) (member_expression)] @name right: (object)) @scope
(pair key: (_) @name value: (object)) @scope

(decorator) @decorator
(import_statement) @import
(comment) @comment
; Strings over several lines.
(template_string) @string
(call_expression function: (identifier) @call)
(call_expression function: (member_expression property: (_) @call))
(new_expression constructor: (identifier) @call)
