/* The ceiling: reads applications, scores them and publishes decisions, in C++ on librdkafka with nothing spared. */

#include <librdkafka/rdkafka.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace dom = simdjson::dom;
namespace ondemand = simdjson::ondemand;

constexpr size_t BATCH_MAX = 5'000;
constexpr size_t TRANSACTION_MAX = 20'000;
constexpr int IDLE_MS = 100;
constexpr int CONFIRM_MS = 60'000;

volatile std::sig_atomic_t stopping = 0;

void check(rd_kafka_resp_err_t error, const char* what) {
    if (error) throw std::runtime_error(std::string(what) + ": " + rd_kafka_err2str(error));
}

void check(rd_kafka_error_t* error, const char* what) {
    if (!error) return;
    std::string message = std::string(what) + ": " + rd_kafka_error_string(error);
    rd_kafka_error_destroy(error);
    throw std::runtime_error(message);
}

struct Settings {
    std::string bootstrap_servers, group_id, applications_topic, decisions_topic, model_json;
    std::vector<std::string> columns;
    double maybe_above, declined_above;
    bool exactly_once, passthrough;

    explicit Settings(const std::string& json) {
        dom::parser parser;
        dom::element given = parser.parse(json);
        const auto text = [&](const char* name) { return std::string(given[name].get_string().value()); };
        bootstrap_servers = text("bootstrap_servers");
        group_id = text("group_id");
        applications_topic = text("applications_topic");
        decisions_topic = text("decisions_topic");
        model_json = text("model_json");
        for (dom::element column : given["columns"]) columns.emplace_back(column.get_string().value());
        maybe_above = given["maybe_above"];
        declined_above = given["declined_above"];
        const std::string delivery = text("delivery");
        exactly_once = delivery == "exactly-once";
        if (!exactly_once && delivery != "at-least-once") throw std::runtime_error("unknown delivery: " + delivery);
        std::string_view variant;
        passthrough = !given["variant"].get(variant) && variant == "passthrough";
    }
};

/* XGBoost's trees for binary:logistic, one array of nodes. A leaf loops to itself: every row takes `depth` steps. */
class Model {
   public:
    static constexpr size_t BLOCK = 16;

    explicit Model(const Settings& settings) {
        dom::parser parser;
        const dom::element learner = parser.load(settings.model_json)["learner"];
        if (std::string_view(learner["objective"]["name"]) != "binary:logistic")
            throw std::runtime_error("the model's objective is not binary:logistic");
        if (const std::string_view booster = learner["gradient_booster"]["name"]; booster != "gbtree")
            throw std::runtime_error("the model is no gbtree");
        size_t position = 0;
        for (dom::element name : learner["feature_names"])
            if (position >= settings.columns.size() || std::string_view(name) != settings.columns[position++])
                throw std::runtime_error("the model's features are not the columns");
        base_margin_ = margin(learner["learner_model_param"]["base_score"]);
        for (dom::element tree : learner["gradient_booster"]["model"]["trees"]) add(tree);
    }

    /* Rows lie one after another, `width` floats each; they are filled up to whole blocks. Leaves are summed as floats
       in the trees' order, as XGBoost does. */
    void predict(std::vector<float>& rows, size_t width, std::vector<float>& probabilities) const {
        const size_t count = rows.size() / width, blocks = (count + BLOCK - 1) / BLOCK;
        rows.resize(blocks * BLOCK * width);
        probabilities.resize(blocks * BLOCK);
        for (size_t start = 0; start < blocks * BLOCK; start += BLOCK)
            predict_block(rows.data() + start * width, width, probabilities.data() + start);
    }

   private:
    struct Node {
        float split;     // a leaf's: +infinity, so that every number goes left
        uint32_t column;
        uint32_t left;   // the right child follows the left one; a leaf's: itself
        float leaf;
    };
    struct Tree {
        uint32_t root, depth;
    };

    std::vector<Node> nodes_;
    std::vector<Tree> trees_;
    float base_margin_;

    /* base_score is a probability, written as "5E-1" by XGBoost 2 and as "[5E-1]" by XGBoost 3. */
    static float margin(std::string_view base_score) {
        if (base_score.front() == '[') base_score = base_score.substr(1, base_score.size() - 2);
        float probability;
        const auto [end, error] =
            std::from_chars(base_score.data(), base_score.data() + base_score.size(), probability);
        if (error != std::errc() || end != base_score.data() + base_score.size())
            throw std::runtime_error("base_score is not one number: " + std::string(base_score));
        return -std::log(1.0f / probability - 1.0f);
    }

    template <typename T>
    static std::vector<T> numbers(dom::element values) {
        std::vector<T> result;
        for (dom::element value : values) result.push_back(static_cast<T>(value.get_double().value()));
        return result;
    }

    void add(dom::element tree) {
        for (const auto kind : numbers<int>(tree["split_type"]))
            if (kind != 0) throw std::runtime_error("the model splits by categories, which the ceiling does not know");
        const auto left = numbers<int32_t>(tree["left_children"]), right = numbers<int32_t>(tree["right_children"]);
        const auto column = numbers<uint32_t>(tree["split_indices"]);
        const auto split = numbers<float>(tree["split_conditions"]);
        const auto root = static_cast<uint32_t>(nodes_.size());
        nodes_.emplace_back();
        uint32_t depth = 0;
        std::vector<std::array<uint32_t, 3>> open{{0, root, 0}};  // a node of the file's, its place here, its depth
        while (!open.empty()) {
            const auto [from, to, level] = open.back();
            open.pop_back();
            depth = std::max(depth, level);
            if (left[from] < 0) {
                nodes_[to] = {std::numeric_limits<float>::infinity(), 0, to, split[from]};
                continue;
            }
            const auto children = static_cast<uint32_t>(nodes_.size());
            nodes_.resize(children + 2);
            nodes_[to] = {split[from], column[from], children, 0.0f};
            open.push_back({static_cast<uint32_t>(left[from]), children, level + 1});
            open.push_back({static_cast<uint32_t>(right[from]), children + 1, level + 1});
        }
        trees_.push_back({root, depth});
    }

    void predict_block(const float* rows, size_t width, float* probabilities) const {
        std::array<float, BLOCK> margins;
        margins.fill(base_margin_);
        for (const Tree& tree : trees_) {
            std::array<uint32_t, BLOCK> at;
            at.fill(tree.root);
            for (uint32_t step = 0; step < tree.depth; ++step)
                for (size_t row = 0; row < BLOCK; ++row) {
                    const Node& node = nodes_[at[row]];
                    at[row] = node.left + !(rows[row * width + node.column] < node.split);
                }
            for (size_t row = 0; row < BLOCK; ++row) margins[row] += nodes_[at[row]].leaf;
        }
        for (size_t row = 0; row < BLOCK; ++row) probabilities[row] = 1.0f / (1.0f + std::exp(-margins[row]));
    }
};

/* Turns an application's JSON into a row of the matrix and its id, as JSON. */
class Encoder {
   public:
    explicit Encoder(const std::vector<std::string>& columns) : width_(columns.size()) {
        for (size_t column = 0; column < columns.size(); ++column) {
            const size_t equals = columns[column].find('=');
            Field& field = field_named(columns[column].substr(0, equals));
            if (equals == std::string::npos)
                field.number = column;
            else
                field.values.emplace_back(columns[column].substr(equals + 1), column);
        }
    }

    size_t width() const { return width_; }

    /* Appends a row to `rows` and sets `id` to the id as it stands in the JSON, valid until the next call.
       False, and nothing appended, if the record cannot be read. */
    bool encode(const void* payload, size_t size, std::vector<float>& rows, std::string_view& id) {
        if (text_.size() < size + simdjson::SIMDJSON_PADDING) text_.resize(size + simdjson::SIMDJSON_PADDING);
        if (size) std::memcpy(text_.data(), payload, size);
        const size_t start = rows.size();
        rows.resize(start + width_, 0.0f);
        id = {};
        const simdjson::padded_string_view text(text_.data(), size, text_.size());
        if (read(text, rows.data() + start, id) && !id.empty()) return true;
        rows.resize(start);
        return false;
    }

   private:
    static constexpr size_t NONE = SIZE_MAX;
    struct Field {
        std::string name;
        size_t number = NONE;                                // its column, if it holds the number itself
        std::vector<std::pair<std::string, size_t>> values;  // else a column for each value
    };

    const size_t width_;
    std::vector<Field> fields_;
    std::vector<char> text_;
    ondemand::parser parser_;

    Field& field_named(const std::string& name) {
        for (Field& field : fields_)
            if (field.name == name) return field;
        fields_.push_back({name, NONE, {}});
        return fields_.back();
    }

    bool read(simdjson::padded_string_view text, float* row, std::string_view& id) {
        ondemand::document document;
        ondemand::object object;
        if (parser_.iterate(text).get(document) || document.get_object().get(object)) return false;
        for (auto entry : object) {
            ondemand::value value;
            std::string_view name;
            if (entry.unescaped_key().get(name) || entry.value().get(value)) return false;
            if (name == "application_id") {
                std::string_view unescaped;
                id = value.raw_json_token();
                id = id.substr(0, id.rfind('"') + 1);
                if (value.get_string().get(unescaped)) return false;
                continue;
            }
            for (const Field& field : fields_)
                if (field.name == name) {
                    if (!fill(field, value, row)) return false;
                    break;
                }
        }
        return document.current_location().error() == simdjson::OUT_OF_BOUNDS;  // nothing stands behind the object
    }

    static bool fill(const Field& field, ondemand::value& value, float* row) {
        if (field.number != NONE) {
            bool null;
            double number;
            if (value.is_null().get(null)) return false;
            if (null) return true;
            if (value.get_double().get(number)) return false;
            row[field.number] = static_cast<float>(number);
            return true;
        }
        std::string_view text;
        if (value.get_string().get(text)) return false;
        for (const auto& [known, column] : field.values)
            if (known == text) {
                row[column] = 1.0f;
                break;
            }
        return true;
    }
};

/* A decision's JSON, appended to `text`. */
void write_decision(std::string& text, std::string_view id, const char* decision, float probability) {
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), probability).ptr;
    text += R"({"application_id":)";
    text += id;
    text += R"(,"decision":")";
    text += decision;
    text += R"(","probability_of_default":)";
    text.append(digits.data(), end);
    text += '}';
}

rd_kafka_t* connect(rd_kafka_type_t type, const std::map<std::string, std::string>& settings, rd_kafka_conf_t* conf) {
    std::array<char, 512> reason;
    for (const auto& [name, value] : settings)
        if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), reason.data(), reason.size()))
            throw std::runtime_error(reason.data());
    rd_kafka_t* client = rd_kafka_new(type, conf, reason.data(), reason.size());
    if (!client) throw std::runtime_error(reason.data());
    return client;
}

/* The consumer, in the group. Records of partitions taken away in the middle of a batch are dropped from it. */
class Source {
   public:
    explicit Source(const Settings& settings)
        : batch_max_(settings.exactly_once ? TRANSACTION_MAX : BATCH_MAX), topic_(settings.applications_topic) {
        rd_kafka_conf_t* conf = rd_kafka_conf_new();
        rd_kafka_conf_set_opaque(conf, this);
        rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
        rd_kafka_conf_set_offset_commit_cb(conf, committed);
        client_ = connect(RD_KAFKA_CONSUMER,
                          {{"bootstrap.servers", settings.bootstrap_servers},
                           {"group.id", settings.group_id},
                           {"auto.offset.reset", "earliest"},
                           {"enable.auto.commit", "false"},
                           {"fetch.queue.backoff.ms", "5"},
                           {"queued.max.messages.kbytes", "32768"}},
                          conf);
        check(rd_kafka_poll_set_consumer(client_), "poll");
        queue_ = rd_kafka_queue_get_consumer(client_);
        rd_kafka_topic_partition_list_t* topics = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(topics, settings.applications_topic.c_str(), RD_KAFKA_PARTITION_UA);
        const rd_kafka_resp_err_t error = rd_kafka_subscribe(client_, topics);
        rd_kafka_topic_partition_list_destroy(topics);
        check(error, "subscribe");
    }

    ~Source() {
        release();
        rd_kafka_queue_destroy(queue_);
        rd_kafka_consumer_close(client_);
        rd_kafka_destroy(client_);
    }

    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

    rd_kafka_t* client() const { return client_; }

    /* Waits for one record, then takes what is there. The records are the source's, until `release`. */
    const std::vector<rd_kafka_message_t*>& take() {
        messages_.resize(batch_max_);
        ssize_t taken = rd_kafka_consume_batch_queue(queue_, IDLE_MS, messages_.data(), 1);
        revoked_ = false;
        if (taken == 1) {
            const ssize_t more = rd_kafka_consume_batch_queue(queue_, 0, messages_.data() + 1, batch_max_ - 1);
            taken += std::max<ssize_t>(more, 0);
        }
        messages_.resize(static_cast<size_t>(std::max<ssize_t>(taken, 0)));
        if (revoked_ && !messages_.empty()) {
            rd_kafka_message_destroy(messages_.front());  // librdkafka itself drops the others that are outdated
            messages_.erase(messages_.begin());
        }
        for (const rd_kafka_message_t* message : messages_) check(message->err, "consume");
        check(uncommitted_, "commit");
        commit_landed();
        return messages_;
    }

    void release() {
        for (rd_kafka_message_t* message : messages_) rd_kafka_message_destroy(message);
        messages_.clear();
    }

    /* What to commit for the records taken: the caller's to destroy. */
    rd_kafka_topic_partition_list_t* positions() const {
        Positions next;
        move(next);
        return list(next);
    }

    /* Commits without waiting for the answer: `take` throws if it was no. One commit is on its way at most, for the
       broker answers them one by one and heartbeats would wait behind them; the next takes what has landed since. */
    void commit() {
        move(landed_);
        commit_landed();
    }

   private:
    using Positions = std::map<int32_t, int64_t>;

    const size_t batch_max_;
    rd_kafka_t* client_;
    rd_kafka_queue_t* queue_;
    std::vector<rd_kafka_message_t*> messages_;
    const std::string topic_;
    Positions landed_;
    bool revoked_ = false, committing_ = false;
    rd_kafka_resp_err_t uncommitted_ = RD_KAFKA_RESP_ERR_NO_ERROR;

    void move(Positions& next) const {
        for (const rd_kafka_message_t* message : messages_) next[message->partition] = message->offset + 1;
    }

    rd_kafka_topic_partition_list_t* list(const Positions& next) const {
        rd_kafka_topic_partition_list_t* result = rd_kafka_topic_partition_list_new(static_cast<int>(next.size()));
        for (const auto& [partition, offset] : next)
            rd_kafka_topic_partition_list_add(result, topic_.c_str(), partition)->offset = offset;
        return result;
    }

    void commit_landed() {
        if (committing_ || landed_.empty()) return;
        rd_kafka_topic_partition_list_t* next = list(landed_);
        const rd_kafka_resp_err_t error = rd_kafka_commit(client_, next, 1);
        rd_kafka_topic_partition_list_destroy(next);
        check(error, "commit");
        landed_.clear();
        committing_ = true;
    }

    static void committed(rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t*, void* opaque) {
        Source& source = *static_cast<Source*>(opaque);
        source.committing_ = false;
        if (error) source.uncommitted_ = error;
    }

    static void rebalanced(rd_kafka_t* client, rd_kafka_resp_err_t event, rd_kafka_topic_partition_list_t* partitions,
                           void* opaque) {
        Source& source = *static_cast<Source*>(opaque);
        const bool assigned = event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if (!assigned) {
            source.revoked_ = true;
            rd_kafka_topic_partition_list_t* next = source.list(source.landed_);
            if (next->cnt) rd_kafka_commit(client, next, 0);
            rd_kafka_topic_partition_list_destroy(next);
            source.landed_.clear();
        }
        rd_kafka_assign(client, assigned ? partitions : nullptr);
    }
};

/* The idempotent or transactional producer. Payloads are not copied: they must live until the batch is confirmed. */
class Sink {
   public:
    explicit Sink(const Settings& settings) : exactly_once_(settings.exactly_once) {
        rd_kafka_conf_t* conf = rd_kafka_conf_new();
        rd_kafka_conf_set_opaque(conf, this);
        rd_kafka_conf_set_dr_msg_cb(conf, delivered);
        std::map<std::string, std::string> producer{{"bootstrap.servers", settings.bootstrap_servers},
                                                    {"enable.idempotence", "true"},
                                                    {"linger.ms", "5"}};
        if (exactly_once_) producer["transactional.id"] = settings.group_id;
        client_ = connect(RD_KAFKA_PRODUCER, producer, conf);
        if (exactly_once_) check(rd_kafka_init_transactions(client_, CONFIRM_MS), "init_transactions");
        topic_ = rd_kafka_topic_new(client_, settings.decisions_topic.c_str(), nullptr);
        if (!topic_) check(rd_kafka_last_error(), "topic");
    }

    ~Sink() {
        rd_kafka_purge(client_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_topic_destroy(topic_);
        rd_kafka_destroy(client_);
    }

    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;

    /* Publishes the decisions on the source's records, waits until they are confirmed and commits the records. */
    void deliver(std::vector<rd_kafka_message_t>& decisions, Source& source) {
        if (exactly_once_) check(rd_kafka_begin_transaction(client_), "begin_transaction");
        const int size = static_cast<int>(decisions.size());
        if (rd_kafka_produce_batch(topic_, RD_KAFKA_PARTITION_UA, 0, decisions.data(), size) != size)
            for (const rd_kafka_message_t& decision : decisions) check(decision.err, "produce");
        if (exactly_once_) {
            commit_transaction(source);
        } else {
            check(rd_kafka_flush(client_, CONFIRM_MS), "flush");
            check(undelivered_, "deliver");
            source.commit();
        }
    }

   private:
    const bool exactly_once_;
    rd_kafka_t* client_;
    rd_kafka_topic_t* topic_;
    rd_kafka_resp_err_t undelivered_ = RD_KAFKA_RESP_ERR_NO_ERROR;

    void commit_transaction(const Source& source) {
        rd_kafka_topic_partition_list_t* next = source.positions();
        rd_kafka_consumer_group_metadata_t* group = rd_kafka_consumer_group_metadata(source.client());
        rd_kafka_error_t* error = rd_kafka_send_offsets_to_transaction(client_, next, group, CONFIRM_MS);
        rd_kafka_consumer_group_metadata_destroy(group);
        rd_kafka_topic_partition_list_destroy(next);
        check(error, "send_offsets_to_transaction");
        check(rd_kafka_commit_transaction(client_, CONFIRM_MS), "commit_transaction");
    }

    static void delivered(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
        if (message->err) static_cast<Sink*>(opaque)->undelivered_ = message->err;
    }
};

/* Makes the decisions on a batch; their payloads live here until the next batch. */
class Scorer {
   public:
    explicit Scorer(const Settings& settings)
        : model_(settings),
          encoder_(settings.columns),
          maybe_above_(settings.maybe_above),
          declined_above_(settings.declined_above) {}

    void decide(const std::vector<rd_kafka_message_t*>& applications, std::vector<rd_kafka_message_t>& decisions) {
        rows_.clear();
        ids_.clear();
        id_ends_.clear();
        for (const rd_kafka_message_t* application : applications) {
            std::string_view id;
            if (!encoder_.encode(application->payload, application->len, rows_, id)) continue;
            ids_ += id;
            id_ends_.push_back(ids_.size());
            decisions.push_back({});
            decisions.back().key = application->key;
            decisions.back().key_len = application->key_len;
        }
        model_.predict(rows_, encoder_.width(), probabilities_);
        text_.clear();
        ends_.clear();
        for (size_t row = 0, id_start = 0; row < decisions.size(); id_start = id_ends_[row++]) {
            const std::string_view id(ids_.data() + id_start, id_ends_[row] - id_start);
            write_decision(text_, id, decision(probabilities_[row]), probabilities_[row]);
            ends_.push_back(text_.size());
        }
        for (size_t row = 0, start = 0; row < decisions.size(); start = ends_[row++]) {
            decisions[row].payload = text_.data() + start;
            decisions[row].len = ends_[row] - start;
        }
    }

   private:
    const Model model_;
    Encoder encoder_;
    const double maybe_above_, declined_above_;
    std::vector<float> rows_, probabilities_;
    std::string ids_, text_;
    std::vector<size_t> id_ends_, ends_;

    const char* decision(double probability) const {
        return probability > declined_above_ ? "DECLINED" : probability > maybe_above_ ? "MAYBE" : "APPROVED";
    }
};

/* The variant without scoring: the records themselves. */
void pass(const std::vector<rd_kafka_message_t*>& applications, std::vector<rd_kafka_message_t>& decisions) {
    for (const rd_kafka_message_t* application : applications) {
        decisions.push_back({});
        decisions.back().payload = application->payload;
        decisions.back().len = application->len;
        decisions.back().key = application->key;
        decisions.back().key_len = application->key_len;
    }
}

void run(const Settings& settings) {
    const std::unique_ptr<Scorer> scorer = settings.passthrough ? nullptr : std::make_unique<Scorer>(settings);
    Source source(settings);
    Sink sink(settings);
    std::vector<rd_kafka_message_t> decisions;
    while (!stopping) {
        const auto& applications = source.take();
        if (applications.empty()) continue;
        decisions.clear();
        if (scorer)
            scorer->decide(applications, decisions);
        else
            pass(applications, decisions);
        sink.deliver(decisions, source);
        source.release();
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "usage: ceiling SETTINGS-AS-JSON\n";
        return 2;
    }
    std::signal(SIGTERM, [](int) { stopping = 1; });
    std::signal(SIGINT, [](int) { stopping = 1; });
    try {
        run(Settings(argv[1]));
    } catch (const std::exception& error) {
        std::cerr << "ceiling: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
