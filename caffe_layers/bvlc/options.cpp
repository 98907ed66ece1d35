#include "options.hpp"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <cmath>
#include <locale>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace crfrnn {
namespace {

namespace pb = google::protobuf;

// The fields of multi_stage_meanfield_param, as a file of a schema: what param_str may say.
constexpr char kSchema[] =
#include "options_schema.inc"
    ;

// From this number on the fields are of the layer in Python alone; the plugin computes what the forks' does.
constexpr int kFirstOfPython = 100;

constexpr int kMostIterations = 10000;

// Keeps the first thing that is wrong with a text, with its line and column counted from 1.
class FirstError : public pb::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!text.empty()) return;
    text = std::to_string(line + 1) + ":" + std::to_string(column + 1) + " : " + message;
  }
  std::string text;
};

// A message of a schema of its own, so that it may exist beside any schema of Caffe's.
class ParsedText {
 public:
  explicit ParsedText(const std::string& text) {
    pb::FileDescriptorProto schema;
    if (!pb::TextFormat::ParseFromString(kSchema, &schema)) throw std::logic_error("the schema is damaged");
    message_.reset(factory_.GetPrototype(pool_.BuildFile(schema)->message_type(0))->New());
    FirstError error;
    pb::TextFormat::Parser parser;
    parser.RecordErrorsTo(&error);
    if (!parser.ParseFromString(text, message_.get())) {
      throw std::invalid_argument("python_param.param_str is not a MultiStageMeanfieldParameter: " +
                                  error.text);
    }
  }
  const pb::Message& message() const { return *message_; }

 private:
  pb::DescriptorPool pool_;
  pb::DynamicMessageFactory factory_;
  std::unique_ptr<pb::Message> message_;
};

const pb::FieldDescriptor* find_field(const pb::Message& message, const std::string& name) {
  return message.GetDescriptor()->FindFieldByName(name);
}

// The value of a numeric field; `missing` where the schema of this Caffe has no such field.
double number(const pb::Message& message, const std::string& name, double missing) {
  const pb::FieldDescriptor* field = find_field(message, name);
  if (!field) return missing;
  const pb::Reflection& reflection = *message.GetReflection();
  switch (field->cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_FLOAT:
      return reflection.GetFloat(message, field);
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.GetDouble(message, field);
    case pb::FieldDescriptor::CPPTYPE_INT32:
      return reflection.GetInt32(message, field);
    case pb::FieldDescriptor::CPPTYPE_UINT32:
      return reflection.GetUInt32(message, field);
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, field);
    default:
      throw std::invalid_argument(name + " is not a number in the schema of this Caffe.");
  }
}

std::string text_of(const pb::Message& message, const std::string& name) {
  const pb::FieldDescriptor* field = find_field(message, name);
  return field ? message.GetReflection()->GetString(message, field) : std::string();
}

double theta(const pb::Message& message, const std::string& name) {
  const double value = number(message, name, 10);
  if (std::isfinite(value) && value > 0) return value;
  std::ostringstream text;
  text << name << " must be a positive number, not " << value << ".";
  throw std::invalid_argument(text.str());
}

int iterations(const pb::Message& message) {
  const auto value = static_cast<long long>(number(message, "num_iterations", 1));
  if (value >= 1 && value <= kMostIterations) return static_cast<int>(value);
  std::ostringstream text;
  text << "num_iterations must be at least 1 and at most " << kMostIterations << ", not " << value << ".";
  throw std::invalid_argument(text.str());
}

double parse_number(const std::string& field, const std::string& word) {
  std::istringstream stream(word);
  stream.imbue(std::locale::classic());
  double value;
  if (stream >> value && stream.eof()) return value;
  throw std::invalid_argument(field + ": could not convert string to float: '" + word + "'");
}

// The diagonal of the weights of `kernel`: one number for each class, or one for all.
std::vector<double> diagonal(const pb::Message& message, const std::string& kernel, int classes) {
  const std::string field = kernel + "_filter_weights_str";
  const std::string text = text_of(message, field);
  if (text.empty()) return std::vector<double>(classes, number(message, kernel + "_filter_weight", 1));
  std::vector<double> weights;
  std::istringstream words(text);
  for (std::string word; words >> word;) weights.push_back(parse_number(field, word));
  if (weights.size() != static_cast<std::size_t>(classes)) {
    throw std::invalid_argument(field + " has " + std::to_string(weights.size()) +
                                " numbers, but the unary has " + std::to_string(classes) +
                                " classes; give one number per class.");
  }
  return weights;
}

// An option that the plugin lacks must not go unheard, unless it asks for what the plugin does anyway.
void refuse_options_of_python(const pb::Message& message) {
  std::vector<const pb::FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const pb::FieldDescriptor* field : fields) {
    if (field->number() < kFirstOfPython) continue;
    const std::string name(field->name());
    const bool is_enum = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM;
    const bool neutral =
        !field->is_repeated() &&
        (is_enum ? message.GetReflection()->GetEnum(message, field) == field->default_value_enum()
                 : number(message, name, 0) == 0);
    if (neutral) continue;
    throw std::invalid_argument(
        name + " is an option of the layer in package crfasrnn alone, the plugin for Caffe lacks it.");
  }
}

Options options_of(const pb::Message& message, int classes) {
  refuse_options_of_python(message);
  return {iterations(message),
          {theta(message, "theta_alpha"), theta(message, "theta_beta"), theta(message, "theta_gamma")},
          number(message, "force_cpu", 0) != 0,
          diagonal(message, "spatial", classes),
          diagonal(message, "bilateral", classes)};
}

}  // namespace

Options read_options(const ::caffe::LayerParameter& layer, int classes) {
  // By name at run time: the same code serves every schema, and no fork's generated code is needed.
  const pb::FieldDescriptor* field = find_field(layer, "multi_stage_meanfield_param");
  if (field && layer.GetReflection()->HasField(layer, field)) {
    return options_of(layer.GetReflection()->GetMessage(layer, field), classes);
  }
  return options_of(ParsedText(layer.python_param().param_str()).message(), classes);
}

}  // namespace crfrnn
